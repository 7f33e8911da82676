import { put } from '../put';
import type { FilesBackend, Format } from './files';
import type { File } from './wire/File';
import type { Spoken } from './wire/Spoken';
import type { Update } from './wire/Update';

const SPEECH = ['Ask not what your country can do for you,', 'ask what you can do for your country.'];

/** Words of the same length, one after the other. */
export function spoken(text: string, startMs: number, endMs: number): Spoken {
  const words = text.split(' ').filter((word) => word !== '');
  const each = (endMs - startMs) / words.length;
  const at = (index: number) => Math.round(startMs + index * each);
  return { startMs, endMs, text, words: words.map((word, index) => ({ text: ` ${word}`, startMs: at(index), endMs: at(index + 1) })) };
}

/** Recordings that are transcribed by themselves, for a page in a plain browser. */
export class MockFiles implements FilesBackend {
  #list: File[] = [];
  #added = 0;
  #segments: Record<number, Spoken[]> = {};
  #shown: number | null = null;
  /** What was wanted last, for tests. */
  exported: { id: number; format: Format } | undefined;
  copied: number | undefined;

  constructor(readonly say: (update: Update) => void) {}

  async choose(_title: string): Promise<void> {
    this.#added += 1;
    const id = this.#added;
    const name = `meeting-${id}.flac`;
    const file: File = { id, name, folder: '/home/me', state: { kind: 'running', done: 0.4, leftS: 90 }, durationMs: 8000, language: null, model: null, preview: '', saved: null };
    this.#put(file);
    setTimeout(() => this.#finish(id), 3000);
  }

  async chooseFolders(title: string): Promise<void> {
    await this.choose(title);
    await this.choose(title);
  }

  async drop(id: number): Promise<void> {
    this.#set(
      this.#list.flatMap((file) => {
        if (file.id !== id) return [file];
        const busy = file.state.kind === 'running' || file.state.kind === 'waiting';
        return busy ? [{ ...file, state: { kind: 'cancelled' as const } }] : [];
      }),
    );
  }

  async clear(): Promise<void> {
    this.#set(this.#list.filter(({ state }) => state.kind === 'running' || state.kind === 'waiting'));
  }

  async retry(id: number): Promise<void> {
    this.#change(id, { state: { kind: 'running', done: null, leftS: null }, preview: '' });
    this.#segments[id] = [];
    if (this.#shown === id) await this.show(id);
    setTimeout(() => this.#finish(id), 3000);
  }

  async move(id: number, before: number | null): Promise<void> {
    const moved = this.#list.filter((file) => file.id === id);
    const others = this.#list.filter((file) => file.id !== id);
    const at = before === null ? -1 : others.findIndex((file) => file.id === before);
    others.splice(at < 0 ? others.length : at, 0, ...moved);
    this.#set(others);
  }

  async setLanguage(id: number, language: string | null): Promise<void> {
    this.#change(id, { language });
    await this.retry(id);
  }

  async setModel(id: number, model: string | null): Promise<void> {
    this.#change(id, { model });
    await this.retry(id);
  }

  async show(id: number | null): Promise<void> {
    this.#shown = id;
    if (id !== null) this.say({ kind: 'transcript', transcript: { file: id, segments: this.#segments[id] ?? [] } });
  }

  async edit(id: number, segment: number, text: string): Promise<void> {
    const old = this.#segments[id]?.[segment];
    if (!old) return;
    const edited = spoken(text, old.startMs, old.endMs);
    this.#segments[id]![segment] = edited;
    this.say({ kind: 'spoken', file: id, index: segment, segment: edited });
  }

  async copy(id: number): Promise<void> {
    this.copied = id;
  }

  async export(id: number, format: Format, _title: string): Promise<void> {
    this.exported = { id, format };
  }

  /** Puts a file into the list as it is, for tests. */
  add(file: Partial<File>): void {
    this.#added += 1;
    const waiting: File = { id: this.#added, name: `${this.#added}.wav`, folder: '/home/me', state: { kind: 'waiting' }, durationMs: null, language: null, model: null, preview: '', saved: null };
    this.#put({ ...waiting, ...file });
  }

  #finish(id: number): void {
    if (this.#list.find((file) => file.id === id)?.state.kind !== 'running') return;
    this.#segments[id] = SPEECH.map((text, index) => spoken(text, index * 4000, (index + 1) * 4000));
    this.#change(id, { state: { kind: 'done' }, preview: SPEECH.join(' ') });
    if (this.#shown === id) this.#segments[id].forEach((segment, index) => this.say({ kind: 'spoken', file: id, index, segment }));
  }

  #change(id: number, change: Partial<File>): void {
    const file = this.#list.find((file) => file.id === id);
    if (file) this.#put({ ...file, ...change });
  }

  #put(file: File): void {
    this.#list = put(this.#list, file);
    this.say({ kind: 'file', file });
  }

  #set(list: File[]): void {
    this.#list = list;
    this.say({ kind: 'files', files: list });
  }
}
