import type { Theme } from './backend';

/** When the dark colours hold, for each choice. */
const holds: Record<Theme, string> = { system: '(prefers-color-scheme: dark)', light: 'not all', dark: 'all' };

let darkRules: CSSMediaRule[] | undefined;

/** Makes the page light or dark. The dark colours stand in the style sheets once, for a system that is dark. */
export function wear(theme: Theme): void {
  darkRules ??= [...document.styleSheets]
    .flatMap((sheet) => [...sheet.cssRules])
    .filter((rule) => rule instanceof CSSMediaRule)
    .filter((rule) => rule.conditionText.includes('prefers-color-scheme'));
  for (const rule of darkRules) rule.media.mediaText = holds[theme];
  document.documentElement.style.colorScheme = theme === 'system' ? '' : theme;
}
