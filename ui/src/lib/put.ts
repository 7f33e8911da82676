/** The list with this item in the place of that of the same number, or at the end. */
export function put<Item extends { id: number }>(list: Item[], item: Item): Item[] {
  const at = list.findLastIndex(({ id }) => id === item.id);
  return at < 0 ? [...list, item] : list.with(at, item);
}
