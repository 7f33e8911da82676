import { fireEvent, render, screen, within } from '@testing-library/svelte';
import axe from 'axe-core';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import App from '../src/App.svelte';
import { MockBackend } from '../src/lib/backend/mock';
import { t } from '../src/lib/i18n';

let backend: MockBackend;

beforeEach(async () => {
  vi.useFakeTimers();
  backend = new MockBackend();
  render(App, { backend });
  await vi.advanceTimersByTimeAsync(0);
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const microphone = () => screen.getByRole('button', { name: /dictating/ });
const transcript = () => screen.getByRole('region', { name: 'What you said' });

async function press(element: HTMLElement): Promise<void> {
  await fireEvent.click(element);
  await vi.advanceTimersByTimeAsync(0);
}

async function show(view: string): Promise<void> {
  await press(within(screen.getByRole('navigation', { name: t.app.navigation })).getByRole('button', { name: view }));
}

async function speak(ms: number): Promise<void> {
  await press(microphone());
  await vi.advanceTimersByTimeAsync(ms);
}

test('words grow while one speaks, sure and unsure ones apart, and are final after the stop', async () => {
  await speak(3000);
  expect(microphone().getAttribute('aria-pressed')).toBe('true');
  expect(transcript().querySelector('.committed')?.textContent).toContain('Ask not what your country');
  expect(transcript().querySelector('.tentative')?.textContent).not.toBe('');
  expect(Number(screen.getByRole('meter').getAttribute('aria-valuenow'))).toBeGreaterThan(0);
  await press(microphone());
  expect(transcript().querySelector('.tentative')).toBeNull();
  expect(transcript().textContent).toContain('Ask not what your country can do');
  expect(microphone().getAttribute('aria-pressed')).toBe('false');
});

test('a page of words is read from its end, and an empty one from its top', async () => {
  vi.spyOn(HTMLElement.prototype, 'scrollHeight', 'get').mockReturnValue(700);
  await speak(3000);
  expect(transcript().scrollTop).toBe(700);
  // Who has scrolled back is not torn away.
  transcript().scrollTop = 100;
  await fireEvent.scroll(transcript());
  await vi.advanceTimersByTimeAsync(1000);
  expect(transcript().scrollTop).toBe(100);
  await fireEvent.keyDown(window, { key: 'Escape' });
  await vi.advanceTimersByTimeAsync(0);
  expect(transcript().scrollTop).toBe(0);
});

test('in a low window the words have the room of the large button', async () => {
  const dock = () => screen.getByRole('region', { name: t.dictate.title });
  expect(dock().classList).not.toContain('small');
  vi.stubGlobal('innerHeight', 480);
  await fireEvent(window, new Event('resize'));
  expect(dock().classList).toContain('small');
});

test('Escape throws the recording away', async () => {
  await speak(3000);
  await fireEvent.keyDown(window, { key: 'Escape' });
  await vi.advanceTimersByTimeAsync(0);
  expect(transcript().textContent).not.toContain('Ask');
  expect(screen.getByText(/Thrown away/)).toBeTruthy();
});

test('an error is announced with its next step, and can be dismissed', async () => {
  const why = { fault: 'noMicrophone', detail: 'No microphone was found.' } as const;
  backend.show({ notices: [{ id: 2, tone: 'error', said: { kind: 'noMicrophone' }, why }, { id: 1, tone: 'error', said: { kind: 'notSaved' }, why: null }] });
  await vi.advanceTimersByTimeAsync(0);
  const alert = screen.getByRole('alert');
  expect(alert.textContent).toMatch(/no microphone that can be used.*Plug one in.*No microphone was found.*document was not written/s);
  expect(within(alert).getByText('No microphone was found.').closest('[lang=en]')).toBeTruthy();
  await press(within(alert).getAllByRole('button', { name: 'Dismiss' })[0]!);
  expect(alert.textContent).toContain('The document was not written.');
  expect(alert.textContent).not.toContain('Plug one in');
  await press(within(alert).getByRole('button', { name: 'Dismiss' }));
  expect(alert.textContent).toBe('');
});

test('recordings that were just opened are looked at, but never instead of a dictation', async () => {
  const shown = () => within(screen.getByRole('navigation')).getByRole('button', { current: 'page' }).textContent;
  backend.show({ phase: 'recording' });
  backend.files.add({});
  await vi.advanceTimersByTimeAsync(0);
  expect(shown()).toContain('Dictate');
  backend.show({ phase: 'idle' });
  backend.files.add({});
  await vi.advanceTimersByTimeAsync(0);
  expect(shown()).toContain('Files');
});

test('everything said so far is copied, one dictation a line', async () => {
  await speak(1500);
  await press(microphone());
  await speak(1500);
  await press(microphone());
  await press(screen.getByRole('button', { name: 'Copy all text' }));
  expect(backend.copied?.split('\n')).toHaveLength(2);
});

test('the demo model says what it is, and a missing one stops nothing but dictation', async () => {
  expect(screen.getByText(/synthesised speech only/)).toBeTruthy();
  backend.show({ model: { kind: 'failed', why: { fault: 'damagedModel', detail: 'The model x is damaged.' } } });
  await vi.advanceTimersByTimeAsync(0);
  expect((microphone() as HTMLButtonElement).disabled).toBe(true);
  expect(screen.getByText(/The model is damaged or incomplete/)).toBeTruthy();
  expect(screen.queryByText(/synthesised speech only/)).toBeNull();
});

test('the chosen microphone is asked for by its id', async () => {
  await fireEvent.change(screen.getByRole('combobox', { name: 'Microphone' }), { target: { value: 'headset' } });
  await vi.advanceTimersByTimeAsync(0);
  expect((screen.getByRole('combobox') as HTMLSelectElement).value).toBe('headset');
});

test('what the machine does is shown while it is asked for, and measured at no other time', async () => {
  const watch = vi.spyOn(backend, 'watchPerformance');
  await show('Performance');
  await vi.advanceTimersByTimeAsync(1000);
  const shown = screen.getByRole('region', { name: 'Performance' });
  expect(shown.textContent).toContain('14×');
  expect(within(shown).getByRole('row', { name: /^Encoder \d/ }).textContent).toContain('180\u00a0ms');
  expect(shown.textContent).toContain('Not in use');
  await speak(500);
  expect(microphone().getAttribute('aria-pressed')).toBe('true');
  await show('Dictate');
  expect(watch.mock.calls).toEqual([[true], [false]]);
  expect(transcript()).toBeTruthy();
});

test('hands-free is switched on where one dictates, and says that it listens', async () => {
  await press(screen.getByRole('switch', { name: 'Hands-free' }));
  expect(screen.getAllByRole('status').map((status) => status.textContent)).toContain('Listening for speech. Begin to speak, and pause to end.');
  await press(screen.getByRole('switch', { name: 'Hands-free' }));
  expect(screen.getAllByRole('status').map((status) => status.textContent)).toContain('Press and speak.');
});

test('the last requests are shown by stage, and what no sensor says is said to be missing', async () => {
  await show('Performance');
  await vi.advanceTimersByTimeAsync(1000);
  const shown = screen.getByRole('region', { name: 'Performance' });
  expect(shown.textContent).toContain('18\u00a0W');
  expect(shown.textContent).toContain('Only the administrator may read it');
  expect(within(shown).getByRole('img', { name: 'Last requests, by stage' }).querySelectorAll('rect')).toHaveLength(3 * 4);
  expect(shown.textContent).toContain('Total 412\u00a0ms');
});

test('the window can be a small panel', async () => {
  const panel = vi.spyOn(backend, 'setPanel');
  await show('Performance');
  await vi.advanceTimersByTimeAsync(1000);
  await press(screen.getByRole('button', { name: 'Small panel' }));
  await vi.advanceTimersByTimeAsync(1000);
  expect(screen.getByRole('main', { name: 'Performance' }).textContent).toContain('310\u00a0ms');
  vi.useRealTimers();
  await check();
  vi.useFakeTimers();
  await press(screen.getByRole('button', { name: 'Back to the whole window' }));
  expect(microphone()).toBeTruthy();
  expect(panel.mock.calls).toEqual([[true], [false]]);
});

test('no state of the page breaks an accessibility rule', async () => {
  await speak(3000);
  backend.show({ notices: [{ id: 1, tone: 'error', said: { kind: 'noModel' }, why: { fault: 'notAModel', detail: 'It is none.' } }] });
  await vi.advanceTimersByTimeAsync(0);
  await backend.files.choose('');
  for (const name of Object.values(t.app.views)) {
    vi.useFakeTimers();
    await show(name);
    await vi.advanceTimersByTimeAsync(1000);
    vi.useRealTimers();
    await check();
  }
});

async function check(): Promise<void> {
  // jsdom neither computes colours, which contrast.test.ts checks, nor measures text.
  const { violations } = await axe.run(document.body, { rules: { 'color-contrast': { enabled: false }, 'label-content-name-mismatch': { enabled: false } } });
  expect(violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html).join(' ')}`)).toEqual([]);
}
