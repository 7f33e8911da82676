import { fireEvent, render, screen } from '@testing-library/svelte';
import axe from 'axe-core';
import { beforeEach, expect, test } from 'vitest';

import { MockOverlay } from '../src/lib/backend/overlay';
import { language } from '../src/lib/i18n';
import { barAt } from '../src/lib/level';
import Overlay from '../src/Overlay.svelte';

let backend: MockOverlay;
const settled = () => new Promise((done) => setTimeout(done));
const status = () => screen.getByRole('status').textContent;
const page = () => screen.getByRole('main').textContent;

beforeEach(async () => {
  language.chosen = 'en';
  backend = new MockOverlay();
  render(Overlay, { backend });
  await settled();
});

async function show(change: Parameters<MockOverlay['show']>[0]): Promise<void> {
  backend.show(change);
  await settled();
}

test('words that stay and words that may change stand apart, with time, level and how to stop', async () => {
  expect(status()).toBe('Listening');
  expect(document.querySelector('.committed')?.textContent).toBe('Ask not what your country can do');
  expect(document.querySelector('.tentative')?.textContent).toBe('for you');
  expect(screen.getByRole('meter').getAttribute('aria-valuenow')).toBe('60');
  expect(page()).toContain('Ctrl+Alt+Space stops');
  expect(document.querySelector('time')?.textContent).toBe('0:04');
  expect(document.querySelector('[title]')?.getAttribute('title')).toBe('Desk microphone · CPU');
  await show({ keys: null, elapsedS: 71 });
  expect(page()).toContain('The same key stops');
  expect(document.querySelector('time')?.textContent).toBe('1:11');
});

test('it stops and throws away, and says what became of it', async () => {
  await fireEvent.click(screen.getByRole('button', { name: 'Stop' }));
  await settled();
  expect(status()).toBe('Written');
  expect(screen.queryByRole('button')).toBeNull();
  await show({ stage: { kind: 'recording' } });
  await fireEvent.click(screen.getByRole('button', { name: 'Throw away' }));
  await settled();
  expect(status()).toBe('Thrown away');
  for (const [kind, said] of [
    ['opening', 'Opening the microphone…'],
    ['writing', 'Writing…'],
    ['noSpeech', 'No speech was heard'],
  ] as const) {
    await show({ stage: { kind } });
    expect(status()).toBe(said);
  }
  await show({ stage: { kind: 'failed', why: { fault: 'noMicrophone', detail: 'No microphone was found.' } } });
  expect(status()).toBe('No microphone can be opened. Plug one in, or choose another one.');
});

test('hands-free, it says that it listens', async () => {
  await show({ stage: { kind: 'waiting' }, handsFree: true, committed: '', tentative: '' });
  expect(status()).toBe('Listening for speech');
  await show({ stage: { kind: 'recording' } });
  expect(page()).toContain('A pause stops');
});

test('no stage breaks an accessibility rule', async () => {
  for (const kind of ['waiting', 'recording', 'noSpeech'] as const) {
    await show({ stage: { kind } });
    const { violations } = await axe.run(document.body, { rules: { 'color-contrast': { enabled: false } } });
    expect(violations.map((violation) => violation.id)).toEqual([]);
  }
});

test('a bar is as high as the level and its share of it say, and never vanishes', () => {
  expect([0, 0.5, 1].map((level) => barAt(1 / 16, level, 1))).toEqual(['scaleY(0.06)', 'scaleY(0.53)', 'scaleY(1.00)']);
  expect(barAt(1 / 8, 1, 0.2)).toBe('scaleY(0.30)');
});
