// Everything that can be read on the page, and everything that is read out, comes from the words of its language. Here those
// stand between marks, and what stands outside is data, or was forgotten.

import { fireEvent, render, screen, within } from '@testing-library/svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import App from '../src/App.svelte';
import { MockBackend } from '../src/lib/backend/mock';
import { MockOverlay } from '../src/lib/backend/overlay';
import { languages } from '../src/lib/i18n';
import Overlay from '../src/Overlay.svelte';

const { marked } = vi.hoisted(() => {
  /** The value with this done to every text in it. What a function says is marked; what it is given is data, which has to be marked by itself. */
  const each = (value: unknown, change: (text: string) => string): unknown => {
    if (typeof value === 'string') return change(value);
    if (typeof value === 'function') return (...given: unknown[]) => marked(value(...given.map((data) => each(data, (text) => `⟧${text}⟦`))));
    if (Array.isArray(value)) return value.map((part) => each(part, change));
    return value !== null && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([key, part]) => [key, each(part, change)])) : value;
  };
  const marked = (value: unknown) => each(value, (text) => `⟦${text}⟧`);
  return { marked };
});

vi.mock('../src/lib/i18n/words', () => ({ words: (all: { en: object }) => Object.fromEntries(Object.keys(all).map((code) => [code, marked(all.en)])) }));
// Numbers, dates and names of languages are in the page's language too; the forms of a plural are words already.
vi.mock('../src/lib/i18n/format', async (original) => {
  const format = await original<typeof import('../src/lib/i18n/format')>();
  const own = { plural: format.plural, languageNames: (codes: string[]) => format.languageNames(codes).map(([code, name]) => [code, marked(name)]) };
  return { ...(marked({ ...format }) as object), ...own };
});

/** What is called the same everywhere: products, models, devices, files, keys, addresses, languages by their own names, and what was said. */
const NAMES = [
  'Amanuensis', '0.1.0', 'MIT', 'Apache 2.0',
  'amanuensis-demo.en', 'large-v3-turbo', 'medium', 'small.en', 'small', 'base', 'tiny',
  'AVX2, int8', 'Desk microphone', 'Headset', 'gedit',
  /meeting-\d+\.flac/, 'talk.wav', 'interview.wav', 'talk.srt', /\/home\/[\w./-]+/, 'Ctrl+Alt+Space', /http:\/\/[\w.:/]+/,
  ...Object.values(languages),
  'Please send the report to Alice before Friday.', 'The meeting begins at nine.', 'Milk, bread, and a new umbrella.',
  /Ask not[\w ,]*\.?/, /ask what you[\w ,]*\.?/,
];

/** The element and what stands outside of all marks, where that has letters. */
function unmarked(): string[] {
  const found: string[] = [];
  const look = (element: Element, text: string) => {
    let rest = text;
    for (let before = ''; rest !== before; ) [before, rest] = [rest, rest.replace(/⟦[^⟦⟧]*⟧/g, ' ')];
    for (const name of NAMES) rest = typeof name === 'string' ? rest.replaceAll(name, ' ') : rest.replace(new RegExp(name, 'g'), ' ');
    if (/\p{Letter}/u.test(rest)) found.push(`<${element.localName} class="${element.className}"> ${text.trim()}`);
  };
  // What a library said, what is typed into a terminal, and what was dictated.
  const ours = (element: Element) => element.closest('small[lang=en], code, .committed, .tentative, [data-word]') === null;
  for (const element of document.querySelectorAll('body, body *')) {
    if (!ours(element)) continue;
    for (const attribute of ['aria-label', 'aria-description', 'aria-valuetext', 'title', 'alt', 'placeholder']) look(element, element.getAttribute(attribute) ?? '');
    // What stands beside each other is one text: words may be made of several.
    look(element, [...element.childNodes].map((node) => (node.nodeType === Node.TEXT_NODE ? node.nodeValue : ' ')).join(''));
  }
  return [...new Set(found)];
}

/** All that can be read after so long comes from the words. */
async function said(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  expect(unmarked()).toEqual([]);
}

let backend: MockBackend;

beforeEach(() => {
  vi.useFakeTimers();
  backend = new MockBackend();
});

afterEach(() => vi.useRealTimers());

/** The window, at this view. */
async function open(view = 'Dictate'): Promise<void> {
  render(App, { backend });
  await vi.advanceTimersByTimeAsync(0);
  await fireEvent.click(within(screen.getByRole('navigation')).getByRole('button', { name: `⟦${view}⟧` }));
  await said();
}

/** Presses everything of this name. */
async function press(name: RegExp): Promise<void> {
  for (const button of screen.getAllByRole('button', { name })) await fireEvent.click(button);
  await said();
}

async function openMenus(): Promise<void> {
  for (const menu of document.querySelectorAll('summary, [aria-haspopup]')) await fireEvent.click(menu);
  await said();
}

test('dictating', async () => {
  await open();
  await press(/Start dictating/);
  await said(2000);
  await press(/Stop dictating/);
  backend.show({ phase: 'opening', dropping: true });
  await said();
  const why = { fault: 'npuMemory', detail: 'The NPU needs 80 MiB.' } as const;
  const device = { kind: 'npu-simulated', detail: '', threads: null } as const;
  const ready = { kind: 'ready', name: 'small', demo: false, multilingual: true, device, fallback: why } as const;
  for (const model of [ready, { kind: 'loading' }, { kind: 'failed', why }] as const) {
    backend.show({ model, writing: 1, phase: 'idle' });
    await said();
  }
  backend.say({ kind: 'interrupted', interrupted: [{ id: 1, startedMs: 1, seconds: 12 }] });
  await said();
});

test('every notice', async () => {
  await open();
  const path = '/home/me/talk.srt';
  const kinds = [
    'thrownAway', 'noSpeech', 'microphoneLost', 'noMicrophone', 'notWritten', 'notPolished', 'notCopied', 'noModel', 'settingsDiscarded', 'settingsRefused',
    'settingsNotImported', 'settingsNotExported', 'noToken', 'keyNotKept', 'noShortcut', 'noAutostart', 'historyNotKept', 'historyFailed', 'notSafe', 'safeAgain',
    'noRecordings', 'notSaved', 'notWatched', 'notPlayed', 'soundGone',
  ] as const;
  const told = [
    ...kinds.map((kind) => ({ kind })),
    { kind: 'soundLost', seconds: 2 }, { kind: 'notInserted', copied: true }, { kind: 'notInserted', copied: false }, { kind: 'settingsExported', path },
    { kind: 'historyDamaged', rescued: 1, found: 2, path }, { kind: 'recordingsDamaged', count: 2, path }, { kind: 'forgotten', entries: 1, sounds: 3 },
    { kind: 'onlyFirst', count: 500 }, { kind: 'saved', path },
  ] as const;
  const why = { fault: 'noMicrophone', detail: 'No microphone was found.' } as const;
  backend.show({ notices: told.map((what, id) => ({ id, tone: 'error', said: what, why })) });
  await said();
});

test('files', async () => {
  await open('Files');
  await backend.files.choose('');
  await backend.files.choose('');
  await said();
  await said(3000);
  const why = { fault: 'cutOff', detail: 'It ends.' } as const;
  for (const state of [{ kind: 'failed', why }, { kind: 'cancelled' }, { kind: 'waiting' }, { kind: 'running', done: null, leftS: null }] as const) {
    backend.files.add({ name: 'talk.wav', state, language: 'de', saved: 'talk.srt', model: 'small' });
  }
  await said();
  await press(/Show the transcript of.*meeting-1/);
  await openMenus();
});

test('history', async () => {
  await open('History');
  await said(1000);
  await openMenus();
  await press(/Delete/);
  await fireEvent.input(screen.getByRole('searchbox'), { target: { value: '…' } });
  await said(1000);
});

test('models', async () => {
  await open('Models');
  await backend.addModel('');
  await backend.downloadModel('tiny');
  await said(1000);
  await press(/Delete/);
});

test('performance, in the window and as a panel', async () => {
  await open('Performance');
  await said(2000);
  const why = { fault: 'noXrt', detail: 'It is not there.' } as const;
  const say = backend.say.bind(backend);
  vi.spyOn(backend, 'say').mockImplementation((update) => {
    if (update.kind !== 'performance') return say(update);
    const less = { npu: { kind: 'unavailable', why }, powerW: { kind: 'missing' }, speed: null, firstSample: null } as const;
    say({ ...update, performance: { ...update.performance, ...less } });
  });
  await said(2000);
  expect(document.body.textContent).toContain('XRT');
  await press(/Small panel/);
  await said(2000);
});

test('settings', async () => {
  await open('Settings');
  await backend.chooseWatchedFolder('');
  await backend.testInsertion();
  for (const button of screen.getAllByRole('switch', { checked: false })) await fireEvent.click(button);
  await said();
  const why = { fault: 'portTaken', detail: 'It is.' } as const;
  const keys = ['unknown', 'asking', 'none', 'keyring', 'file', 'environment'] as const;
  for (const key of [...keys.map((kind) => ({ kind })), { kind: 'unusable', why } as const]) {
    backend.choose({ key, api: key.kind === 'none' ? { kind: 'changing' } : { kind: 'failed', why }, opening: true });
    await said(2000);
  }
  await press(/Restore/);
});

test('the guide', async () => {
  await open();
  await backend.firstStart();
  await said();
  await press(/⟦Listen⟧/);
  await said(1000);
  await press(/⟦Stop⟧/);
  for (let step = 1; step < 5; step += 1) await press(/⟦Next⟧/);
});

test('the overlay', async () => {
  const overlay = new MockOverlay();
  render(Overlay, { backend: overlay });
  await said();
  const why = { fault: 'engineFailed', detail: 'It broke.' } as const;
  const stages = ['waiting', 'opening', 'recording', 'writing', 'written', 'noSpeech', 'cancelled'] as const;
  for (const stage of [...stages.map((kind) => ({ kind })), { kind: 'failed', why } as const]) {
    for (const handsFree of [false, true]) {
      overlay.show({ stage, handsFree, keys: handsFree ? null : 'Ctrl+Alt+Space' });
      await said();
    }
  }
});
