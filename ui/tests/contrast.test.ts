import { describe, expect, test } from 'vitest';

import css from '../src/styles/tokens.css?raw';

// WCAG 2.1, 1.4.3 and 1.4.11: 4.5 for text, 3 for the outlines of controls.
const pairs: [string, string, number][] = [
  ['ink', 'paper', 4.5],
  ['ink', 'surface', 4.5],
  ['ink', 'wax-wash', 4.5],
  ['ink-soft', 'paper', 4.5],
  ['ink-soft', 'surface', 4.5],
  ['paper', 'ink', 4.5],
  ['on-wax', 'wax', 4.5],
  ['wax', 'surface', 4.5],
  ['wax', 'paper', 3],
  ['line', 'surface', 3],
  ['line', 'paper', 3],
  ['focus', 'paper', 3],
  ['focus', 'surface', 3],
  ['series-1', 'surface', 3],
  ['series-2', 'surface', 3],
  ['series-3', 'surface', 3],
];

const [light = '', dark = ''] = css.split('@media');

function luminance(hex: string): number {
  const channel = (at: number) => {
    const value = parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
}

function colour(theme: string, name: string): string {
  const found = new RegExp(`--${name}: (#[0-9a-f]{6});`).exec(theme)?.[1];
  if (!found) throw new Error(`no token --${name}`);
  return found;
}

describe.each([
  ['light', light],
  ['dark', dark],
])('%s', (_, theme) => {
  test.each(pairs)('%s on %s has a contrast of at least %d', (text, ground, least) => {
    const [one, other] = [luminance(colour(theme, text)), luminance(colour(theme, ground))];
    expect((Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)).toBeGreaterThanOrEqual(least);
  });
});
