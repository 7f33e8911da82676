import { fireEvent, render, screen, within } from '@testing-library/svelte';
import axe from 'axe-core';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import App from '../src/App.svelte';
import { MockBackend } from '../src/lib/backend/mock';
import { spoken } from '../src/lib/backend/mock-files';
import { clock, matchesIn } from '../src/lib/transcript';

let backend: MockBackend;

beforeEach(async () => {
  vi.useFakeTimers();
  backend = new MockBackend();
  render(App, { backend });
  await vi.advanceTimersByTimeAsync(0);
  await press(within(screen.getByRole('navigation')).getByRole('button', { name: 'Files' }));
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const button = (name: string | RegExp) => screen.getByRole('button', { name });
const names = () => screen.getAllByRole('button', { name: /^Show the transcript/ }).map((row) => row.textContent);

async function press(element: HTMLElement): Promise<void> {
  await fireEvent.click(element);
  await vi.advanceTimersByTimeAsync(0);
}

/** The transcript of a recording that was written out. */
async function open(): Promise<HTMLElement> {
  await press(button('Open recordings…'));
  await vi.advanceTimersByTimeAsync(3000);
  await press(button('Show the transcript of meeting-1.flac'));
  return screen.getByRole('region', { name: 'Transcript of meeting-1.flac' });
}

test('a file shows its progress, the time left, its first words, and can be cancelled and tried again', async () => {
  await press(button('Open recordings…'));
  await press(button('Open recordings…'));
  expect(screen.getAllByRole('progressbar')).toHaveLength(2);
  expect(screen.getAllByText(/40.*2 min left/)).toHaveLength(2);
  await press(button('Cancel meeting-2.flac'));
  expect(screen.getByText('Cancelled')).toBeTruthy();
  await vi.advanceTimersByTimeAsync(3000);
  await press(button('Copy the text of meeting-1.flac'));
  expect(backend.files.copied).toBe(1);
  await press(button('Take meeting-1.flac off the list'));
  expect(screen.queryByText('meeting-1.flac')).toBeNull();
  await press(button('Transcribe meeting-2.flac again'));
  await vi.advanceTimersByTimeAsync(3000);
  expect(screen.getByText(/Ask not/)).toBeTruthy();
});

test('those that are over are taken off the list at once', async () => {
  expect(screen.queryByRole('button', { name: 'Clear finished' })).toBeNull();
  for (const kind of ['waiting', 'done', 'cancelled'] as const) backend.files.add({ name: `${kind}.wav`, state: { kind } });
  await vi.advanceTimersByTimeAsync(0);
  await press(button('Clear finished'));
  expect(names()).toEqual(['waiting.wav']);
  expect(screen.queryByRole('button', { name: 'Clear finished' })).toBeNull();
});

test('of a long list those rows are built that are near, and one that has the focus', async () => {
  let say: IntersectionObserverCallback = () => {};
  let root: IntersectionObserverInit['root'];
  class Observer {
    constructor(callback: IntersectionObserverCallback, options: IntersectionObserverInit) {
      say = callback;
      root = options.root;
    }
    observe(): void {}
    unobserve(): void {}
  }
  vi.stubGlobal('IntersectionObserver', Observer);
  for (const name of ['a.wav', 'b.wav']) backend.files.add({ name, state: { kind: 'done' }, preview: `What ${name} says.` });
  await vi.advanceTimersByTimeAsync(0);
  const [a, b] = screen.getAllByRole('listitem') as [HTMLElement, HTMLElement];
  const move = async (target: HTMLElement, isIntersecting: boolean) => {
    say([{ target, isIntersecting, boundingClientRect: { height: 70 } } as unknown as IntersectionObserverEntry], {} as IntersectionObserver);
    await vi.advanceTimersByTimeAsync(0);
  };
  expect(root).toBe(a.closest('section'));
  expect(screen.queryAllByRole('button', { name: /^Show the transcript/ })).toHaveLength(0);
  expect(a.textContent).toMatch(/a\.wav *What a\.wav says/);
  for (const row of [a, b]) await move(row, true);
  expect(names()).toEqual(['a.wav', 'b.wav']);
  button('Show the transcript of a.wav').focus();
  for (const row of [a, b]) await move(row, false);
  expect(names()).toEqual(['a.wav']);
  expect(b.style.minHeight).toBe('70px');
  await move(b, true);
  expect(b.style.minHeight).toBe('');
});

test('the list is put in another order by keyboard, and the focus stays with the file', async () => {
  for (const name of ['a.wav', 'b.wav', 'c.wav']) backend.files.add({ name });
  await vi.advanceTimersByTimeAsync(0);
  const grip = (name: string) => button(`Move ${name}: arrow keys up and down`);
  grip('c.wav').focus();
  await fireEvent.keyDown(grip('c.wav'), { key: 'ArrowUp' });
  await vi.advanceTimersByTimeAsync(0);
  expect(names()).toEqual(['a.wav', 'c.wav', 'b.wav']);
  expect(document.activeElement).toBe(grip('c.wav'));
  await fireEvent.keyDown(grip('c.wav'), { key: 'ArrowDown' });
  await fireEvent.keyDown(grip('c.wav'), { key: 'ArrowDown' });
  await vi.advanceTimersByTimeAsync(0);
  expect(names()).toEqual(['a.wav', 'b.wav', 'c.wav']);
});

test('a file is dragged to another place', async () => {
  for (const name of ['a.wav', 'b.wav', 'c.wav']) backend.files.add({ name });
  await vi.advanceTimersByTimeAsync(0);
  // jsdom lays nothing out: each row is 40 px high here.
  screen.getAllByRole('listitem').forEach((row, index) => {
    row.getBoundingClientRect = () => ({ top: index * 40 }) as DOMRect;
    Object.defineProperty(row, 'offsetHeight', { value: 40 });
  });
  const grip = button('Move c.wav: arrow keys up and down');
  // jsdom's pointer events have no place either.
  const at = (type: string, clientY: number) => fireEvent(grip, new MouseEvent(type, { clientY, bubbles: true }));
  await at('pointerdown', 100);
  await at('pointermove', 10);
  await at('pointerup', 10);
  await vi.advanceTimersByTimeAsync(0);
  expect(names()).toEqual(['c.wav', 'a.wav', 'b.wav']);
});

test('the word that is heard is shown, and a word that is pressed is heard', async () => {
  const transcript = await open();
  await press(button('Play'));
  await vi.advanceTimersByTimeAsync(600);
  expect(transcript.querySelector('.now')?.textContent?.trim()).toBe('not');
  expect(transcript.querySelectorAll('.now')).toHaveLength(1);
  await press(button('Pause'));
  expect(transcript.querySelector('.now')).toBeNull();
  expect(screen.getByText(/^0:00 \/ 0:08$/)).toBeTruthy();
  const play = vi.spyOn(backend, 'play');
  await press(button('Play'));
  expect(play).toHaveBeenLastCalledWith({ kind: 'file', id: 1 }, 600);
  await press(within(transcript).getByText('country.'));
  expect(play).toHaveBeenLastCalledWith({ kind: 'file', id: 1 }, 7500);
  await press(button('Play from 0:04'));
  expect(play).toHaveBeenLastCalledWith({ kind: 'file', id: 1 }, 4000);
  await fireEvent.change(screen.getByRole('slider'), { target: { value: '2000' } });
  expect(play).toHaveBeenLastCalledWith({ kind: 'file', id: 1 }, 2000);
});

test('what is heard stops with the view', async () => {
  await open();
  await press(button('Play'));
  const silence = vi.spyOn(backend, 'silence');
  await press(button('All files'));
  expect(silence).toHaveBeenCalled();
});

test('text is edited in its place, kept with Enter and left with Escape', async () => {
  const transcript = await open();
  await press(button('Edit: 0:04'));
  const field = () => screen.getByRole('textbox', { name: 'Text from 0:04 on' }) as HTMLTextAreaElement;
  expect(document.activeElement).toBe(field());
  await fireEvent.input(field(), { target: { value: 'what you can do for the world.' } });
  await fireEvent.keyDown(field(), { key: 'Enter' });
  await vi.advanceTimersByTimeAsync(0);
  expect(transcript.textContent).toContain('do for the world.');
  expect(document.activeElement).toBe(button('Edit: 0:04'));
  await press(button('Edit: 0:04'));
  await fireEvent.input(field(), { target: { value: 'nothing' } });
  await fireEvent.keyDown(field(), { key: 'Escape' });
  await vi.advanceTimersByTimeAsync(0);
  expect(transcript.textContent).toContain('do for the world.');
});

test('words are searched for, whatever their case, and gone to one after the other', async () => {
  const transcript = await open();
  const search = screen.getByRole('searchbox');
  await fireEvent.input(search, { target: { value: 'YOUR COUNTRY' } });
  const told = () => screen.getAllByRole('status').map((status) => status.textContent);
  expect(told()).toContain('1 of 2');
  expect([...transcript.querySelectorAll('.current')].map((word) => word.textContent?.trim())).toEqual(['your', 'country']);
  await fireEvent.keyDown(search, { key: 'Enter' });
  expect(told()).toContain('2 of 2');
  await fireEvent.keyDown(search, { key: 'Enter' });
  expect(told()).toContain('1 of 2');
  await fireEvent.input(search, { target: { value: 'moon' } });
  expect(told()).toContain('Nothing found');
});

test('a transcript is saved in every format', async () => {
  await open();
  for (const [name, format] of [['Text (.txt)', 'txt'], ['Word document (.docx)', 'docx'], ['Everything (.json)', 'json']] as const) {
    await press(button(name));
    expect(backend.files.exported).toEqual({ id: 1, format });
  }
});

test('a file’s language is chosen where the model knows more than one', async () => {
  await open();
  expect(screen.queryByRole('combobox', { name: 'Language' })).toBeNull();
  backend.show({ model: { kind: 'ready', name: 'small', demo: false, multilingual: true, device: { kind: 'cpu', detail: '', threads: null }, fallback: null } });
  await vi.advanceTimersByTimeAsync(0);
  const choice = screen.getByRole('combobox', { name: 'Language' });
  const setLanguage = vi.spyOn(backend.files, 'setLanguage');
  await fireEvent.change(choice, { target: { value: 'de' } });
  expect(setLanguage).toHaveBeenCalledWith(1, 'de');
});

test('text appears while it is written, and a failure is told with its reason', async () => {
  backend.files.add({ name: 'talk.wav', state: { kind: 'running', done: 0.5, leftS: null } });
  await vi.advanceTimersByTimeAsync(0);
  await press(button('Show the transcript of talk.wav'));
  const transcript = screen.getByRole('region', { name: 'Transcript of talk.wav' });
  expect(transcript.textContent).toContain('appears here');
  backend.say({ kind: 'spoken', file: 1, index: 0, segment: spoken('Good morning.', 0, 2000) });
  backend.say({ kind: 'spoken', file: 7, index: 1, segment: spoken('Another file.', 0, 2000) });
  await vi.advanceTimersByTimeAsync(0);
  expect(transcript.textContent).toContain('Good morning.');
  expect(transcript.textContent).not.toContain('Another');
});

test('no state of the view breaks an accessibility rule', { timeout: 60_000 }, async () => {
  await open();
  backend.files.add({ name: 'bad.wav', state: { kind: 'failed', why: { fault: 'emptyFile', detail: 'Bad.wav is empty.' } } });
  await press(button('Edit: 0:00'));
  vi.useRealTimers();
  await check();
  await fireEvent.click(button('All files'));
  await check();
});

async function check(): Promise<void> {
  const { violations } = await axe.run(document.body, { rules: { 'color-contrast': { enabled: false }, 'label-content-name-mismatch': { enabled: false } } });
  expect(violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html).join(' ')}`)).toEqual([]);
}

test('searching needs no words with times, and times are short', () => {
  const segment = { startMs: 0, endMs: 1000, text: 'Hello there.', words: [] };
  expect(matchesIn([segment, segment], 'there')).toEqual([
    { segment: 0, from: 0, to: 0 },
    { segment: 1, from: 0, to: 0 },
  ]);
  expect(clock(65_000)).toBe('1:05');
  expect(clock(3_725_000)).toBe('1:02:05');
});

test('a file is transcribed by another model where there is one', async () => {
  await open();
  expect(screen.queryByRole('combobox', { name: 'Model' })).toBeNull();
  backend.choose({ models: ['small', 'amanuensis-demo.en'] });
  await vi.advanceTimersByTimeAsync(0);
  const model = vi.spyOn(backend.files, 'setModel');
  await fireEvent.change(screen.getByRole('combobox', { name: 'Model' }), { target: { value: 'small' } });
  expect(model).toHaveBeenLastCalledWith(1, 'small');
});
