import type { Language } from './language.svelte';

/** What a part of the page says, in every language. The English ones say which there are; the compiler misses the others. */
export function words<Words>(all: { en: Words } & Record<Exclude<Language, 'en'>, NoInfer<Words>>): Record<Language, Words> {
  return all;
}
