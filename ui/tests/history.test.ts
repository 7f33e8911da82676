import { fireEvent, render, screen, within } from '@testing-library/svelte';
import axe from 'axe-core';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import App from '../src/App.svelte';
import { MockBackend } from '../src/lib/backend/mock';
import { seconds, t } from '../src/lib/i18n';

let backend: MockBackend;

beforeEach(async () => {
  vi.useFakeTimers({ now: new Date(2026, 10, 26, 14, 30) });
  backend = new MockBackend();
  render(App, { backend });
  await settle();
});

afterEach(() => vi.useRealTimers());

const settle = () => vi.advanceTimersByTimeAsync(0);
const list = () => screen.getByRole('region', { name: t.app.views.history });
const entries = () => [...list().querySelectorAll('li')];
// By hand, for a query by role computes the names of the whole page.
function button(name: string | RegExp, where: HTMLElement = document.body): HTMLButtonElement {
  const named = (candidate: Element) => candidate.getAttribute('aria-label') ?? candidate.textContent?.trim() ?? '';
  const fits = (candidate: Element) => (typeof name === 'string' ? named(candidate) === name : name.test(named(candidate)));
  const found = [...where.querySelectorAll('button')].find(fits);
  if (!found) throw new Error(`there is no button called ${name}`);
  return found;
}

async function press(element: HTMLElement): Promise<void> {
  await fireEvent.click(element);
  await settle();
}

async function open(): Promise<void> {
  await press(button(t.app.views.history, document.querySelector('nav')!));
}

async function search(words: string): Promise<void> {
  await fireEvent.input(screen.getByRole('searchbox'), { target: { value: words } });
  await settle();
}

test('entries are listed by day, the newest first, and more can be shown', async () => {
  await open();
  const days = within(list()).getAllByRole('heading').map((day) => day.textContent);
  expect(days[0]).toContain('November 26');
  expect(new Set(days).size).toBe(days.length);
  expect(entries()).toHaveLength(8);
  expect(list().textContent).not.toContain('Show more');
  const look = vi.spyOn(backend, 'lookAtHistory');
  backend.say({ kind: 'history', history: { typed: '', entries: [], total: 120, deleted: 0, fault: null } });
  await settle();
  await press(button('Show more (120)'));
  expect(look).toHaveBeenCalledWith('', 100);
});

test('what is typed is looked for, and where nothing is found this is said', async () => {
  await open();
  await search('umbrella');
  expect(entries().length).toBeGreaterThan(0);
  expect(entries().every((entry) => entry.textContent?.includes('umbrella'))).toBe(true);
  await search('submarine');
  expect(list().textContent).toContain(t.history.nothingFound);
});

test('what is deleted can be put back, and what is pinned stays', async () => {
  await open();
  const first = entries()[0]!.textContent;
  await press(button(/Delete the entry/, entries()[0]));
  expect(entries()[0]!.textContent).not.toBe(first);
  expect(screen.getByText(/One entry was deleted/)).toBeTruthy();
  await press(button(t.history.undo));
  expect(entries()[0]!.textContent).toBe(first);
  await press(button(t.history.deleteAll));
  expect(entries()).toHaveLength(1);
  expect(screen.getByText(/7 entries were deleted/)).toBeTruthy();
  expect(button(t.history.deleteAll).disabled).toBe(true);
  await press(button(/Do not keep/, entries()[0]));
  await press(button(t.history.deleteAll));
  expect(list().textContent).toContain(t.history.emptyTitle);
});

test('a text is edited in its place; Escape leaves it as it was', async () => {
  await open();
  await press(button(/Edit the text/, entries()[0]));
  const area = within(entries()[0]!).getByRole('textbox') as HTMLTextAreaElement;
  expect(document.activeElement).toBe(area);
  await fireEvent.input(area, { target: { value: 'Send it on Thursday.' } });
  await press(button(t.history.save, entries()[0]));
  expect(entries()[0]!.textContent).toContain('Send it on Thursday.');
  expect(entries()[0]!.textContent).toContain('edited');
  await press(button(/Edit the text/, entries()[0]));
  await fireEvent.input(within(entries()[0]!).getByRole('textbox'), { target: { value: 'Never.' } });
  await fireEvent.keyDown(within(entries()[0]!).getByRole('textbox'), { key: 'Escape' });
  await settle();
  expect(entries()[0]!.textContent).toContain('Send it on Thursday.');
});

test('a recording is played from anywhere, and written down once more', async () => {
  const play = vi.spyOn(backend, 'play');
  await open();
  expect(() => button(/Play/, entries()[4])).toThrow();
  await press(button(/Play the recording/, entries()[0]));
  const id = 8;
  expect(play).toHaveBeenLastCalledWith({ kind: 'entry', id }, 0);
  await vi.advanceTimersByTimeAsync(1000);
  expect(entries()[0]!.textContent).toContain('0:01 / 0:03');
  await fireEvent.change(within(entries()[0]!).getByRole('slider'), { target: { value: '2000' } });
  expect(play).toHaveBeenLastCalledWith({ kind: 'entry', id }, 2000);
  await press(button(t.files.pause, entries()[0]));
  await press(button(/Play the recording/, entries()[1]));
  expect(button(t.files.play, entries()[0])).toBeTruthy();
  expect(button(t.files.pause, entries()[1])).toBeTruthy();
  await press(button(/again/, entries()[0]));
  expect(entries()[0]!.textContent).toContain(t.history.transcribing);
  await vi.advanceTimersByTimeAsync(1000);
  expect(entries()[0]!.textContent).toContain('Ask not');
});

test('where there are several models, one of them writes it down again', async () => {
  const again = vi.spyOn(backend, 'transcribeEntry');
  backend.choose({ models: ['small.en', 'amanuensis-demo.en'] });
  await open();
  await press(button('With small.en', entries()[0]));
  expect(again).toHaveBeenLastCalledWith(8, 'small.en');
  await vi.advanceTimersByTimeAsync(1000);
  expect(entries()[0]!.textContent).toContain('small.en');
});

test('a text that a language model went over can be read as it was heard', async () => {
  await open();
  const entry = { id: 1, startedMs: 0, seconds: 1, state: { kind: 'done' as const }, text: 'Hello, Bob.', raw: 'hello bob', edited: false };
  const rest = { name: null, model: null, device: null, application: null, waitedMs: null, pinned: false, sound: false };
  backend.say({ kind: 'history', history: { typed: '', entries: [{ ...entry, ...rest }], total: 1, deleted: 0, fault: null } });
  await settle();
  expect(within(entries()[0]!).getByText('hello bob').closest('details')).toBeTruthy();
});

test('an interrupted dictation is offered until something is decided', async () => {
  const startedMs = new Date(2026, 10, 26, 14, 2).getTime();
  backend.say({ kind: 'interrupted', interrupted: [{ id: 8, startedMs, seconds: 38.2 }] });
  await settle();
  const offer = screen.getByRole('status', { name: t.history.interrupted });
  expect(offer.textContent).toContain('02:02 PM, 38\u00a0s');
  await press(button(t.history.transcribe, offer));
  expect(offer.textContent?.trim()).toBe('');
});

test('a history that cannot be kept says why', async () => {
  await open();
  const fault = { fault: 'unwritable', detail: 'The history cannot be kept in /home/you (read-only).' } as const;
  backend.say({ kind: 'history', history: { typed: '', entries: [], total: 0, deleted: 0, fault } });
  await settle();
  expect(screen.getByText(fault.detail).closest('[role=alert]')).toBeTruthy();
});

test('the view breaks no accessibility rule', async () => {
  await open();
  await press(button(/Edit the text/, entries()[0]));
  backend.say({ kind: 'interrupted', interrupted: [{ id: 8, startedMs: 0, seconds: 1 }] });
  await settle();
  // It waits by timers of its own.
  vi.useRealTimers();
  const { violations } = await axe.run(document.body, { rules: { 'color-contrast': { enabled: false }, 'label-content-name-mismatch': { enabled: false } } });
  expect(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)])).toEqual([]);
});

test('lengths are said as people say them', () => {
  expect([seconds(0.4), seconds(38.2), seconds(65), seconds(3725)]).toEqual(['0\u00a0s', '38\u00a0s', '1:05\u00a0min', '1:02:05\u00a0h']);
});
