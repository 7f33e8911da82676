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
  await vi.advanceTimersByTimeAsync(0);
  await press(within(screen.getByRole('navigation')).getByRole('button', { name: 'Models' }));
});

afterEach(() => vi.useRealTimers());

async function press(element: HTMLElement): Promise<void> {
  await fireEvent.click(element);
  await vi.advanceTimersByTimeAsync(0);
}

const button = (name: string) => screen.getByRole('button', { name });
const row = (name: string) => screen.getByText(name, { selector: '.name' }).closest('li')!;

test('each model says what it costs here, and that this is an estimate', () => {
  expect(row('large-v3-turbo').textContent).toContain('1.63 GB file · 100 languages · about 1.02 GB of memory · about 3.4× real time');
  expect(row('small.en').textContent).toContain('English only');
  expect(screen.getByText(/are estimates for this machine/)).toBeTruthy();
  expect(row('amanuensis-demo.en').textContent).toContain('trained on synthesised speech only');
  expect(screen.queryByRole('button', { name: 'Delete amanuensis-demo.en' })).toBeNull();
});

test('a download is begun, paused, gone on with, and then the model can be used', async () => {
  await press(button('Download tiny'));
  await vi.advanceTimersByTimeAsync(2000);
  expect(screen.getByRole('progressbar', { name: 'Download of tiny' }).getAttribute('value')).toBe('0.4');
  expect(row('tiny').textContent).toContain('40% · 3 min left');
  await press(button('Pause the download of tiny'));
  expect(row('tiny').textContent).toContain('Paused at 40%');
  await press(button('Go on downloading tiny'));
  await vi.advanceTimersByTimeAsync(5000);
  await press(button('Use tiny'));
  expect(row('tiny').textContent).toContain('the one before works until then');
  await vi.advanceTimersByTimeAsync(1000);
  expect(row('tiny').textContent).toContain('In use');
  expect(screen.getByRole('group', { name: 'Model and device in use' }).textContent).toContain('tiny');
});

test('what is here of a download can be thrown away', async () => {
  await press(button('Throw away what is here of medium'));
  expect(button('Download medium')).toBeTruthy();
});

test('a model is deleted only after a second question', async () => {
  await press(button('Delete base'));
  expect(within(row('base')).getByRole('alert').textContent).toContain('Delete base?');
  await press(button('Keep'));
  expect(button('Use base')).toBeTruthy();
  await press(button('Delete base'));
  await press(button('Delete'));
  expect(button('Download base')).toBeTruthy();
});

test('a file that is no model is refused in a sentence, which can be dismissed', async () => {
  await press(button('Add a file…'));
  expect(screen.getByText(/This is no Whisper model/)).toBeTruthy();
  await press(within(screen.getByRole('region', { name: 'Models' })).getByRole('button', { name: 'Dismiss' }));
  expect(screen.queryByText(/no Whisper model/)).toBeNull();
});

test('the view breaks no accessibility rule', async () => {
  await press(button('Download tiny'));
  await press(button('Delete base'));
  vi.useRealTimers();
  const found = await axe.run(document.body, { rules: { 'color-contrast': { enabled: false }, region: { enabled: false } } });
  expect(found.violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
}, 60_000);
