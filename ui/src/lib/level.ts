/**
 * How a bar of this share of the level is drawn. It never vanishes: at rest it is as high as it is wide.
 *
 * Written out for each bar: WebKit never forgets what it made of a variable in a style, and the level is another ten times a second.
 */
export function barAt(rest: number, level: number, weight: number): string {
  return `scaleY(${(rest + (1 - rest) * level * weight).toFixed(2)})`;
}
