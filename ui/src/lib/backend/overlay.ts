import { invoke } from '@tauri-apps/api/core';

import type { OverlayBackend } from '.';
import { follow } from './tauri';
import type { Overlay } from './wire/Overlay';

/** The app's Rust, as far as the overlay may call it. */
export class TauriOverlay implements OverlayBackend {
  subscribe(listener: (shown: Overlay) => void): Promise<void> {
    return follow('overlay_updates', listener);
  }
  stop(): Promise<void> {
    return invoke('stop');
  }
  cancel(): Promise<void> {
    return invoke('cancel');
  }
}

/** A dictation that speaks for itself, so that the overlay runs in a plain browser. */
export class MockOverlay implements OverlayBackend {
  #listener: (shown: Overlay) => void = () => {};
  #shown: Overlay = {
    stage: { kind: 'recording' },
    language: 'system',
    theme: 'system',
    handsFree: false,
    keys: 'Ctrl+Alt+Space',
    microphone: 'Desk microphone',
    device: 'cpu',
    elapsedS: 4,
    level: 0.6,
    committed: 'Ask not what your country can do',
    tentative: 'for you',
  };

  /** Changes what is shown. */
  show(change: Partial<Overlay>): void {
    this.#shown = { ...this.#shown, ...change };
    this.#listener(this.#shown);
  }

  async subscribe(listener: (shown: Overlay) => void): Promise<void> {
    this.#listener = listener;
    this.show({});
  }

  async stop(): Promise<void> {
    this.show({ stage: { kind: 'written' }, level: 0, committed: 'Ask not what your country can do for you.', tentative: '' });
  }

  async cancel(): Promise<void> {
    this.show({ stage: { kind: 'cancelled' }, level: 0, committed: '', tentative: '' });
  }
}
