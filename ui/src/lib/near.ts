import type { Attachment } from 'svelte/attachments';

/** One for each list that scrolls, and what it says of the rows of that list. */
const watchers = new WeakMap<Element, { observer: IntersectionObserver; tell: WeakMap<Element, (near: boolean) => void> }>();

/**
 * Says whether a row of a list can be seen, or will be after a page of scrolling: the others need not be built. A row whose
 * content is gone stays as high as it was. One that has the focus keeps its content.
 */
export function near(tell: (near: boolean) => void): Attachment<HTMLElement> {
  return (row) => {
    const list = scroller(row);
    if (!list || !('IntersectionObserver' in window)) return tell(true);
    const { observer, tell: listeners } = watchers.get(list) ?? watch(list);
    listeners.set(row, tell);
    observer.observe(row);
    return () => {
      observer.unobserve(row);
      tell(false);
    };
  };
}

function watch(list: HTMLElement) {
  const listeners = new WeakMap<Element, (near: boolean) => void>();
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting, boundingClientRect } of entries) {
        const row = target as HTMLElement;
        const is = isIntersecting || row.contains(document.activeElement);
        row.style.minHeight = is ? '' : `${boundingClientRect.height}px`;
        listeners.get(row)?.(is);
      }
    },
    { root: list, rootMargin: '100% 0px' },
  );
  const watcher = { observer, tell: listeners };
  watchers.set(list, watcher);
  return watcher;
}

function scroller(row: HTMLElement): HTMLElement | null {
  let element = row.parentElement;
  while (element && getComputedStyle(element).overflowY !== 'auto') element = element.parentElement;
  return element;
}
