import type { Failure } from './wire/Failure';
import type { Models } from './wire/Models';
import type { ShelfModel } from './wire/ShelfModel';
import type { ShelfState } from './wire/ShelfState';

/** Models that download themselves in ten steps. */
export class MockShelf {
  #watched = false;
  #ticking: ReturnType<typeof setInterval> | undefined;
  #models: Models = {
    folder: '/home/ada/.local/share/amanuensis/models',
    failure: null,
    list: [
      model('base', 148, 170, 59, 99, { kind: 'installed', deletable: true }),
      { ...model('amanuensis-demo.en', 25, 62, 130, 1, { kind: 'inUse', deletable: false, resting: false }), demo: true },
      model('tiny', 78, 102, 128, 99, { kind: 'available' }),
      model('small.en', 488, 443, 17, 1, { kind: 'available' }),
      model('medium', 1534, 1180, 5.5, 99, { kind: 'paused', done: 0.37, failure: null }),
      model('large-v3-turbo', 1625, 1022, 3.4, 100, { kind: 'available' }),
    ],
  };

  constructor(readonly tell: (models: Models) => void) {}

  watch(watched: boolean): void {
    this.#watched = watched;
    this.#show({});
  }

  set(name: string, state: ShelfState): void {
    this.#show({ list: this.#models.list.map((model) => (model.name === name ? { ...model, state } : model)) });
  }

  fail(failure: Failure | null): void {
    this.#show({ failure });
  }

  download(name: string): void {
    const before = this.#models.list.find((model) => model.name === name)?.state;
    let done = before?.kind === 'paused' ? before.done : 0;
    this.set(name, { kind: 'downloading', done, secondsLeft: null, waiting: false });
    clearInterval(this.#ticking);
    this.#ticking = setInterval(() => {
      done = Math.min(1, done + 0.1);
      if (done < 1) {
        this.set(name, { kind: 'downloading', done, secondsLeft: (1 - done) * 300, waiting: false });
        return;
      }
      clearInterval(this.#ticking);
      this.set(name, { kind: 'installed', deletable: true });
    }, 500);
  }

  pause(name: string): void {
    clearInterval(this.#ticking);
    const before = this.#models.list.find((model) => model.name === name)?.state;
    this.set(name, { kind: 'paused', done: before?.kind === 'downloading' ? before.done : 0, failure: null });
  }

  use(name: string, used: () => void): void {
    this.set(name, { kind: 'opening' });
    setTimeout(() => {
      const list = this.#models.list.map((model): ShelfModel => {
        const deletable = !model.demo;
        if (model.name === name) return { ...model, state: { kind: 'inUse', deletable, resting: false } };
        return model.state.kind === 'inUse' ? { ...model, state: { kind: 'installed', deletable } } : model;
      });
      this.#show({ list });
      used();
    }, 1000);
  }

  #show(change: Partial<Models>): void {
    this.#models = { ...this.#models, ...change };
    if (this.#watched) this.tell(this.#models);
  }
}

function model(name: string, megabytes: number, memory: number, speed: number, languages: number, state: ShelfState): ShelfModel {
  return { name, megabytes, memory, speed, languages, demo: false, state };
}
