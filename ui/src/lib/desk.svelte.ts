import type { Backend, Choices, File, FileTranscript, History, InsertionTest, Interrupted, Models, Performance, Playing, Settings, Take, Update, View } from './backend';
import { put } from './put';

/** Seconds of load that are shown. */
export const SPAN = 60;

/** What the page knows: the last view, the texts as they grow, the level, what is heard. */
export class Desk {
  view: View | undefined = $state.raw();
  takes: Take[] = $state.raw([]);
  /** The recordings in their order. */
  files: File[] = $state.raw([]);
  /** Of the file that is shown. Replaced as a whole: words by the thousand are not watched one by one. */
  transcript: FileTranscript | undefined = $state.raw();
  /** What is heard of a file. */
  playing: Playing | null = $state.raw(null);
  level = $state(0);
  performance: Performance | undefined = $state.raw();
  /** As they were when they were last shown. */
  models: Models | undefined = $state.raw();
  /** Load of each stage, a second a row, the newest last. */
  loads: number[][] = $state.raw([]);

  /** The settings, and what became of them. */
  choices: Choices | undefined = $state.raw();
  /** How often they were changed here: an answer says which of that it knows. */
  #changes = 0;
  /** What is looked at of the history. */
  history: History | undefined = $state.raw();
  /** Dictations that broke off, about which nothing was decided yet. */
  interrupted: Interrupted[] = $state.raw([]);
  /** Which ways into other programs work, as far as it was tested. */
  insertionTest: InsertionTest = $state.raw({ desktop: '', running: false, ways: [] });

  /** The guide was asked for. It also comes by itself, until it was gone through or skipped once. */
  guiding = $state(false);

  /** The window is a small panel that shows what the machine does. */
  panel = $state(false);

  constructor(readonly backend: Backend) {}

  /** Begins to listen. Returns what ends it. */
  attach(): () => void {
    void this.backend.subscribe((update) => this.apply(update));
    const watch = () => void this.backend.watch(document.visibilityState === 'visible');
    document.addEventListener('visibilitychange', watch);
    return () => document.removeEventListener('visibilitychange', watch);
  }

  /** Lets the machine be measured. Returns what ends it. */
  watchPerformance(): () => void {
    void this.backend.watchPerformance(true);
    return () => void this.backend.watchPerformance(false);
  }

  setPanel(on: boolean): void {
    this.panel = on;
    void this.backend.setPanel(on);
  }

  apply(update: Update): void {
    switch (update.kind) {
      case 'view':
        this.view = update.view;
        return;
      case 'level':
        this.level = update.level;
        return;
      case 'texts':
        this.takes = update.takes;
        return;
      case 'text':
        this.#changeTake(update.take, (take) => ({ text: joined(take.text, update.text), committed: '', tentative: '' }));
        return;
      case 'rewritten':
        this.#changeTake(update.take, () => ({ text: update.text }));
        return;
      case 'live':
        this.#changeTake(update.take, () => ({ committed: update.committed, tentative: update.tentative }));
        return;
      case 'performance':
        this.performance = update.performance;
        this.loads = [...this.loads.slice(1 - SPAN), update.performance.stages.map((stage) => stage.load)];
        return;
      case 'settings':
        // An answer to an earlier change does not undo those made since.
        this.choices = this.choices && update.choices.change < this.#changes ? { ...update.choices, settings: this.choices.settings } : update.choices;
        this.#changes = Math.max(this.#changes, update.choices.change);
        return;
      case 'models':
        this.models = update.models;
        return;
      case 'history':
        this.history = update.history;
        return;
      case 'interrupted':
        this.interrupted = update.interrupted;
        return;
      case 'insertion':
        this.insertionTest = update.test;
        return;
      case 'forget':
        this.takes = this.takes.filter((take) => take.id !== update.take);
        return;
      case 'files':
        this.files = update.files;
        return;
      case 'file':
        this.files = put(this.files, update.file);
        return;
      case 'transcript':
        this.transcript = update.transcript;
        return;
      case 'spoken': {
        if (this.transcript?.file !== update.file) return;
        const segments = [...this.transcript.segments];
        segments[update.index] = update.segment;
        this.transcript = { file: update.file, segments };
        return;
      }
      case 'playing':
        this.playing = update.playing;
        return;
      default:
        update satisfies never;
    }
  }

  /** Everything written so far, one dictation a line. */
  get text(): string {
    return this.takes
      .map((take) => joined(joined(take.text, take.committed), take.tentative))
      .filter((text) => text !== '')
      .join('\n');
  }

  /** Changes a setting, here at once; what cannot be comes back as it was. */
  change(change: (settings: Settings) => void): void {
    if (!this.choices) return;
    const settings = structuredClone(this.choices.settings);
    change(settings);
    this.choices = { ...this.choices, settings };
    this.#changes += 1;
    void this.backend.changeSettings(settings, this.#changes);
  }

  #changeTake(id: number, change: (take: Take) => Partial<Take>): void {
    const take = this.takes.find((take) => take.id === id) ?? { id, text: '', committed: '', tentative: '' };
    this.takes = put(this.takes, { ...take, ...change(take) });
  }
}

/** Two stretches of text with one space between them. */
export function joined(first: string, second: string): string {
  const left = first.trim();
  const right = second.trim();
  return left && right ? `${left} ${right}` : left + right;
}
