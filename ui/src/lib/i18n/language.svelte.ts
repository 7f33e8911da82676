/** The languages of the page, each by its own name. */
export const languages = {
  en: 'English',
  de: 'Deutsch',
  es: 'Español',
  fr: 'Français',
  it: 'Italiano',
  pt: 'Português (Brasil)',
} as const;

export type Language = keyof typeof languages;

/** The first of the system's languages that the page speaks. */
export function ofSystem(wanted: readonly string[]): Language {
  const known = (code: string): code is Language => Object.hasOwn(languages, code);
  return wanted.map((tag) => tag.toLowerCase().split('-')[0]!).find(known) ?? 'en';
}

class Choice {
  /** What the user wants: a language, or the system's. */
  chosen: Language | 'system' = $state('system');
  /** The language of the page. */
  readonly current: Language = $derived(this.chosen === 'system' ? ofSystem(navigator.languages) : this.chosen);
}

/** One for the whole page: to set `chosen` changes every word at once. */
export const language = new Choice();
