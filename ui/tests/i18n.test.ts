import { render, screen } from '@testing-library/svelte';
import { afterEach, describe, expect, test } from 'vitest';

import desktopEntry from '../../packaging/linux/org.amanuensis.Amanuensis.desktop?raw';
import App from '../src/App.svelte';
import { MockBackend } from '../src/lib/backend/mock';
import { deviceNamed, language, languages, milliseconds, number, percent, plural, t, type Language } from '../src/lib/i18n';
import { ofSystem } from '../src/lib/i18n/language.svelte';

const codes = Object.keys(languages) as Language[];

afterEach(() => (language.chosen = 'system'));

/** All that is said, with where it stands. Functions are called with numbers that ask for each form; those of notices find theirs by name. */
function sentences(words: object, path = ''): [string, string][] {
  return Object.entries(words).flatMap(([key, value]): [string, string][] => {
    const at = `${path}.${key}`;
    if (typeof value === 'string') return [[at, value]];
    if (typeof value !== 'function') return sentences(value as object, at);
    return [0, 1, 2, 5, 1_000_000].map((count) => {
      const said = { seconds: count, rescued: count, found: count, entries: count, sounds: count, count, copied: count > 0, path: '/home' };
      return [at, path === '.notices' ? value(said) : value(count, count, count)];
    });
  });
}

/** Words that address the reader in the way that the language's other sentences do not. */
const OTHER_ADDRESS: Record<Language, RegExp> = {
  en: /(?!)/,
  de: word('du|dir|dich|dein\\p{L}*'),
  es: word('tú|te|ti|tu|tus'),
  fr: word('tu|toi|te|ton|ta|tes'),
  it: word('Lei|Le|Suo|Sua|Suoi|Sue'),
  pt: word('tu|te|ti|teu|teus|tua|tuas'),
};

/** One of these words, by itself and not at the beginning of a sentence, where a capital says nothing. */
function word(words: string): RegExp {
  return new RegExp(`(?<=[\\p{L},;:] )(${words})(?!\\p{L})`, 'u');
}

describe.each(codes)('%s', (code) => {
  test('says everything, and nothing it does not know', () => {
    language.chosen = code;
    const all = sentences(t);
    expect(all.length).toBeGreaterThan(400);
    for (const [path, sentence] of all) {
      expect(sentence.trim(), path).not.toBe('');
      expect(sentence, path).not.toMatch(/undefined|NaN|\[object/);
    }
  });

  test('addresses the reader in one way', () => {
    language.chosen = code;
    expect(sentences(t).filter(([, sentence]) => OTHER_ADDRESS[code].test(sentence))).toEqual([]);
  });
});

test('the page changes its language while it is open', async () => {
  render(App, { backend: new MockBackend() });
  expect(await screen.findByText('Press and speak.')).toBeTruthy();
  language.chosen = 'de';
  expect(await screen.findByText('Drücken und sprechen.')).toBeTruthy();
  expect(document.documentElement.lang).toBe('de');
  language.chosen = 'fr';
  expect(await screen.findByRole('button', { name: 'Commencer à dicter' })).toBeTruthy();
});

test('what fails is said in the page’s language, with what a library said beneath', async () => {
  const backend = new MockBackend();
  render(App, { backend });
  await screen.findByText('Press and speak.');
  language.chosen = 'de';
  backend.show({ model: { kind: 'failed', why: { fault: 'damagedModel', detail: 'The model x is damaged.' } } });
  expect(await screen.findByText(/Das Modell ist beschädigt/)).toBeTruthy();
  expect(screen.getByText('The model x is damaged.').closest('[lang=en]')).toBeTruthy();
});

test('two sentences are one text with a space between them, wherever the line ends', async () => {
  const backend = new MockBackend();
  render(App, { backend });
  await screen.findByText('Press and speak.');
  backend.show({ notices: [{ id: 1, tone: 'error', said: { kind: 'noMicrophone' }, why: { fault: 'noMicrophone', detail: '' } }] });
  const said = await screen.findByText(/that can be used/);
  expect([...said.childNodes].map((node) => node.nodeValue?.trim()).filter(Boolean)).toEqual([`${t.notices.noMicrophone} ${t.faults.noMicrophone}`]);
});

test('a device, and why it is not the preferred one, are said in the page’s language', async () => {
  const backend = new MockBackend();
  render(App, { backend });
  await screen.findByText('Press and speak.');
  language.chosen = 'es';
  const device = { kind: 'cpu', detail: 'AVX2, int8', threads: 2 } as const;
  backend.show({ model: { kind: 'ready', name: 'small', demo: false, multilingual: true, device, fallback: { fault: 'npuMemory', detail: 'The NPU needs 80 MiB.' } } });
  expect(await screen.findByText('CPU, AVX2, int8, 2 hilos')).toBeTruthy();
  expect(screen.getByText(/^La NPU no se está usando\. La NPU necesita más memoria bloqueada/)).toBeTruthy();
  expect(screen.getByText('The NPU needs 80 MiB.').closest('[lang=en]')).toBeTruthy();
  expect(deviceNamed(t.devices, 'npu-simulated')).toBe('NPU simulada');
  expect(deviceNamed(t.devices, 'CPU, AVX2')).toBe('CPU, AVX2');
});

test('the system’s language is taken, or the next one that is spoken', () => {
  expect(ofSystem(['de-AT', 'en'])).toBe('de');
  expect(ofSystem(['nl-NL', 'PT-br'])).toBe('pt');
  expect(ofSystem(['nl', 'constructor', 'C'])).toBe('en');
});

test('numbers and plural forms are those of the language', () => {
  language.chosen = 'de';
  expect(number(1234567.5, 1)).toBe('1.234.567,5');
  expect(milliseconds(1234)).toBe('1,2\u00a0s');
  expect(percent(0.5)).toMatch(/^50\s%$/);
  language.chosen = 'pt';
  expect(t.performance.requests(0, 0, 0)).toMatch(/^0 pedido concluído,/);
  language.chosen = 'en';
  expect(plural(1, { one: 'one', other: 'many' })).toBe('one');
  expect(t.performance.requests(2, 1, 0)).toBe('2 requests finished, 1 running, 0 waiting');
});

test('the desktop’s menu speaks the languages of the page', () => {
  // Name[de]=…
  const said = [...desktopEntry.matchAll(/^\w+\[(\w+)\]=./gm)].map(([, code]) => code);
  const others = codes.filter((code) => code !== 'en');
  // What it is, what it is for, and its two actions.
  expect(said).toEqual([others, others, others, others].flat());
});
