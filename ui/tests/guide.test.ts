import { fireEvent, render, screen, within } from '@testing-library/svelte';
import axe from 'axe-core';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import App from '../src/App.svelte';
import { MockBackend } from '../src/lib/backend/mock';

let backend: MockBackend;

beforeEach(async () => {
  vi.useFakeTimers();
  backend = new MockBackend();
  render(App, { backend });
  await settle();
});

afterEach(() => vi.useRealTimers());

const settle = () => vi.advanceTimersByTimeAsync(0);
const guide = () => within(screen.getByRole('dialog'));

async function press(name: string, where = guide()): Promise<void> {
  await fireEvent.click(where.getByRole('button', { name }));
  await settle();
}

async function open(): Promise<void> {
  await press('Settings', within(screen.getByRole('navigation')));
  await press('Open the guide', screen as never);
}

test('it is not shown to those who have seen it, and can be opened again', async () => {
  expect(screen.queryByRole('dialog')).toBeNull();
  await open();
  expect(guide().getByRole('heading', { name: 'Can it hear you?' })).toBeTruthy();
  await press('Skip the guide');
  expect(screen.queryByRole('dialog')).toBeNull();
});

test('it comes by itself at the first start, and no more once it was skipped', async () => {
  await backend.firstStart();
  await settle();
  const kept = vi.spyOn(backend, 'changeSettings');
  await press('Skip the guide');
  expect(kept.mock.lastCall?.[0].interface.guided).toBe(true);
  expect(screen.queryByRole('dialog')).toBeNull();
});

test('it goes from a voice that is heard to words that arrive', async () => {
  await open();
  await press('Listen');
  await vi.advanceTimersByTimeAsync(1000);
  expect(guide().getByRole('status').textContent).toContain('You are heard.');
  await press('Stop');
  await press('Next');

  const rows = guide().getAllByRole('listitem').map((row) => row.textContent);
  expect(rows.some((row) => row?.includes('amanuensis-demo.en'))).toBe(true);
  // The largest ones that are at least four times as fast as speech.
  expect(rows.some((row) => row?.includes('small.en')) && rows.some((row) => row?.includes('medium'))).toBe(true);
  expect(rows.some((row) => row?.includes('large-v3-turbo'))).toBe(false);
  await press('Next');

  expect(guide().getByText(/Ctrl\+Alt\+Space starts and stops/)).toBeTruthy();
  await backend.start();
  await settle();
  expect(guide().getByRole('status').textContent).toContain('That works.');
  await press('Next');

  await press('Listen');
  await vi.advanceTimersByTimeAsync(3000);
  await press('Stop');
  const tried = () => guide().getAllByRole('status')[0]?.textContent;
  expect(tried()).toContain('did not arrive in the field');
  await fireEvent.input(guide().getByRole('textbox', { name: 'Field for trying' }), { target: { value: 'Ask not' } });
  await settle();
  expect(tried()).toContain('Your words have arrived.');
  await press('Test all ways');
  await vi.advanceTimersByTimeAsync(2000);
  expect(guide().getByText('Keys (X11)').parentElement?.textContent).toContain('The text arrived whole.');
  await press('Next');
  await press('Begin');
  expect(screen.queryByRole('dialog')).toBeNull();
}, 60_000);

test('no step breaks an accessibility rule', async () => {
  await open();
  vi.useRealTimers();
  const rules = { 'color-contrast': { enabled: false }, 'label-content-name-mismatch': { enabled: false } };
  for (let step = 0; step < 5; step += 1) {
    const { violations } = await axe.run(screen.getByRole('dialog'), { rules });
    expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
    if (step < 4) await fireEvent.click(guide().getByRole('button', { name: 'Next' }));
  }
}, 60_000);

test('nothing is told behind it that nobody can read there', async () => {
  await open();
  backend.show({ notices: [{ id: 1, tone: 'info', said: { kind: 'thrownAway' }, why: null }] });
  await settle();
  expect(screen.queryByText('Thrown away.')).toBeNull();
  backend.show({ notices: [{ id: 2, tone: 'error', said: { kind: 'noMicrophone' }, why: { fault: 'noMicrophone', detail: 'No microphone was found.' } }] });
  await settle();
  expect(guide().getByRole('alert').textContent).toContain('No microphone was found.');
});
