// Every word of the page. A part of the page has a file in `words`, with all languages side by side.

import { language } from './language.svelte';
import { about } from './words/about';
import { app } from './words/app';
import { devices } from './words/devices';
import { dictate } from './words/dictate';
import { faults } from './words/faults';
import { files } from './words/files';
import { guide } from './words/guide';
import { history } from './words/history';
import { insertion } from './words/insertion';
import { models } from './words/models';
import { notices } from './words/notices';
import { overlay } from './words/overlay';
import { performance } from './words/performance';
import { polish } from './words/polish';
import { settings } from './words/settings';

export { language, languages, type Language } from './language.svelte';
export { described, deviceNamed } from './words/devices';
export { worded } from './words/notices';
export { brief, celsius, clock, day, languageNames, mebibytes, megabytes, milliseconds, minutes, number, percent, plural, seconds, timeLeft, watts } from './format';

const parts = { about, app, devices, dictate, faults, files, guide, history, insertion, models, notices, overlay, performance, polish, settings };

type Parts = typeof parts;
type Words = { readonly [Part in keyof Parts]: Parts[Part]['en'] };

/** `t.files.title` is the title in the language of the page. What reads it in a component is drawn again when that changes. */
export const t = Object.defineProperties(
  {},
  Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, { enumerable: true, get: () => part[language.current] }])),
) as Words;
