import { fireEvent, render, screen, within } from '@testing-library/svelte';
import { afterEach, beforeEach, expect, test } from 'vitest';

import App from '../src/App.svelte';
import type { Settings } from '../src/lib/backend';
import { MockBackend } from '../src/lib/backend/mock';
import { language } from '../src/lib/i18n';

let backend: MockBackend;
let kept: Settings | undefined;

beforeEach(async () => {
  backend = new MockBackend();
  kept = undefined;
  const change = backend.changeSettings.bind(backend);
  backend.changeSettings = (settings, number) => {
    kept = settings;
    return change(settings, number);
  };
  render(App, { backend });
  await fireEvent.click(await screen.findByRole('button', { name: 'Settings' }));
  await screen.findByRole('heading', { name: 'Interface' });
});

afterEach(() => (language.chosen = 'system'));

const choose = (name: string, value: string) => fireEvent.change(screen.getByRole('combobox', { name }), { target: { value } });
const flip = (name: string) => fireEvent.click(screen.getByRole('switch', { name }));

test('a change is kept at once and takes effect', async () => {
  await choose('Language', 'de');
  expect(kept?.interface.language).toBe('de');
  expect(await screen.findByRole('heading', { name: 'Oberfläche' })).toBeTruthy();
  await choose('Erscheinungsbild', 'dark');
  expect(document.documentElement.style.colorScheme).toBe('dark');
  await choose('Erscheinungsbild', 'system');
  expect(document.documentElement.style.colorScheme).toBe('');
});

test('languages that can be spoken have the names that the page’s language has for them', async () => {
  const options = within(screen.getByRole('combobox', { name: 'Spoken language' })).getAllByRole('option');
  expect(options.map((option) => option.textContent)).toEqual(['Found out each time', 'English', 'French', 'German', 'Japanese']);
  await choose('Spoken language', 'ja');
  expect(kept?.dictation.language).toBe('ja');
});

test('terms are taken a line each, and empty lines are none', async () => {
  const terms = screen.getByRole('textbox', { name: 'Names and terms' });
  await fireEvent.change(terms, { target: { value: ' Nyström \n\nXDNA2\n' } });
  expect(kept?.text.vocabulary).toEqual(['Nyström', 'XDNA2']);
});

test('a replacement is kept once it says what it replaces, and can be removed', async () => {
  await fireEvent.click(screen.getByRole('button', { name: 'Add a replacement' }));
  await fireEvent.change(screen.getByRole('textbox', { name: 'What is written' }), { target: { value: 'Kind regards' } });
  expect(kept?.text.replacements).toEqual([]);
  await fireEvent.change(screen.getByRole('textbox', { name: 'What you say' }), { target: { value: 'regards' } });
  expect(kept?.text.replacements).toEqual([{ from: 'regards', to: 'Kind regards' }]);
  await fireEvent.click(screen.getByRole('button', { name: 'Remove the replacement of “regards”' }));
  expect(kept?.text.replacements).toEqual([]);
  expect(screen.queryByRole('textbox', { name: 'What you say' })).toBeNull();
});

test('the local API says where it listens, and an impossible port becomes the next possible one', async () => {
  await flip('Transcribe for other programs');
  expect(await screen.findByText('http://127.0.0.1:9050/v1')).toBeTruthy();
  await fireEvent.click(screen.getByRole('button', { name: 'Copy the token' }));
  expect(backend.copied).toBe('a token');
  const port = screen.getByRole('spinbutton', { name: 'Port' }) as HTMLInputElement;
  await fireEvent.change(port, { target: { value: '80' } });
  expect(kept?.server.port).toBe(1024);
  expect(port.value).toBe('1024');
  await fireEvent.change(port, { target: { value: '' } });
  expect(port.value).toBe('1024');
});

test('an answer that comes late does not undo what was changed since', async () => {
  const change = backend.changeSettings;
  const late: (() => Promise<void>)[] = [];
  backend.changeSettings = async (settings, number) => void late.push(() => change(settings, number));
  await flip('Spoken punctuation');
  await choose('Appearance', 'dark');
  await late.shift()?.();
  await choose('Spoken language', 'ja');
  while (late.length > 0) await late.shift()?.();
  expect(kept?.text.spokenPunctuation).toBe(true);
  expect(kept?.interface.theme).toBe('dark');
  expect(kept?.dictation.language).toBe('ja');
});

test('what the desk refuses is said, and comes back as it was', async () => {
  const impossible = structuredClone(kept ?? (await flip('Spoken punctuation'), kept!));
  impossible.server.port = 1;
  await backend.changeSettings(impossible, 2);
  expect((await screen.findByRole('alert')).textContent).toContain('server.port');
  expect((screen.getByRole('spinbutton', { name: 'Port' }) as HTMLInputElement).value).toBe('9050');
});

test('the history and the watched folder are set', async () => {
  const change = (name: string, value: string) => fireEvent.change(screen.getByRole('spinbutton', { name }), { target: { value } });
  await flip('Keep the sound, too');
  await change('Delete after days', '99999');
  await change('Gigabytes of sound at most', '');
  expect(kept?.history).toEqual({ on: true, keepAudio: false, keepDays: 3650, mostGb: null });
  await fireEvent.click(screen.getByRole('button', { name: 'Choose a folder…' }));
  expect(screen.getByText('/home/you/recordings')).toBeTruthy();
  await choose('What is written there', 'docx');
  expect(kept?.files).toEqual({ watchedFolder: '/home/you/recordings', format: 'docx' });
  await fireEvent.click(screen.getByRole('button', { name: 'Watch none' }));
  expect(kept?.files.watchedFolder).toBeNull();
});

test('a language model is off, and its key is never shown', async () => {
  const endpoint = screen.getByRole('textbox', { name: 'Address' }) as HTMLInputElement;
  expect(endpoint.disabled).toBe(true);
  await flip('Let a language model go over dictations');
  await fireEvent.change(endpoint, { target: { value: 'https://llm.example/v1 ' } });
  await fireEvent.change(screen.getByRole('spinbutton', { name: 'Seconds to wait' }), { target: { value: '500' } });
  expect(kept?.postProcessing).toMatchObject({ on: true, endpoint: 'https://llm.example/v1', timeoutS: 120 });
  const key = screen.getByLabelText('Key') as HTMLInputElement;
  await fireEvent.change(key, { target: { value: 'sk-1' } });
  expect(key.value).toBe('');
  expect(screen.getByText(/lies in your desktop’s keyring/)).toBeTruthy();
  backend.choose({ key: { kind: 'file' } });
  await screen.findByText(/lies in a file that only you may read/);
  backend.choose({ key: { kind: 'asking' } });
  await screen.findByText(/asking for the keyring’s password/);
  expect(screen.queryByRole('button', { name: 'Delete the key' })).toBeNull();
  backend.choose({ key: { kind: 'keyring' } });
  await screen.findByText(/lies in your desktop’s keyring/);
  await fireEvent.click(screen.getByRole('button', { name: 'Delete the key' }));
  expect(screen.queryByText(/lies in/)).toBeNull();
});

test('a model is chosen among those that are installed', async () => {
  backend.choose({ models: ['small.en', 'amanuensis-demo.en'] });
  await screen.findByRole('option', { name: 'small.en' });
  await choose('Model', 'small.en');
  expect(kept?.model.name).toBe('small.en');
});

test('the defaults are restored only by who means it', async () => {
  await flip('Spoken punctuation');
  expect(kept?.text.spokenPunctuation).toBe(true);
  await fireEvent.click(screen.getByRole('button', { name: 'Restore the defaults' }));
  await fireEvent.click(screen.getByRole('button', { name: 'Keep my settings' }));
  expect(kept?.text.spokenPunctuation).toBe(true);
  await fireEvent.click(screen.getByRole('button', { name: 'Restore the defaults' }));
  await fireEvent.click(screen.getByRole('button', { name: 'Yes, restore all defaults' }));
  expect(kept?.text.spokenPunctuation).toBe(false);
});

test('ways into other programs are tested, chosen, and switched off', async () => {
  await fireEvent.click(screen.getByRole('button', { name: 'Test all ways' }));
  expect(await screen.findByText(/Leave keyboard and mouse alone/)).toBeTruthy();
  const found = await screen.findByText('Keys (X11)', { selector: 'strong' }, { timeout: 5000 });
  expect(found.parentElement?.textContent).toContain('The text arrived whole.');
  expect(screen.getByText(/needs a session on Wayland/)).toBeTruthy();
  await choose('Way that is tried first', 'paste');
  expect(kept?.insertion.ways).toEqual({ x11: 'paste' });
  await choose('Way that is tried first', '');
  expect(kept?.insertion.ways).toEqual({});
  await flip('Type where the cursor is');
  expect(kept?.insertion.automatic).toBe(false);
});

test('the shortcut is a line of text, and none if it is empty', async () => {
  const keys = screen.getByRole('textbox', { name: 'Keys' });
  await fireEvent.change(keys, { target: { value: ' Super+D ' } });
  expect(kept?.shortcut.keys).toBe('Super+D');
  await fireEvent.change(keys, { target: { value: '' } });
  expect(kept?.shortcut.keys).toBeNull();
  await choose('What they do', 'hold');
  expect(kept?.shortcut.mode).toBe('hold');
});
