import type { Backend } from '.';
import { MockFiles } from './mock-files';
import { MockShelf } from './mock-models';
import type { Choices } from './wire/Choices';
import type { Device } from './wire/Device';
import type { Entry } from './wire/Entry';
import type { Failure } from './wire/Failure';
import type { Performance } from './wire/Performance';
import type { Played } from './wire/Played';
import type { Said } from './wire/Said';
import type { Settings } from './wire/Settings';
import type { Tone } from './wire/Tone';
import type { Update } from './wire/Update';
import type { View } from './wire/View';

const DEFAULTS: Settings = {
  interface: { language: 'system', theme: 'system', guided: true, overlay: true, tray: true, notifications: true, autostart: false },
  dictation: { microphone: null, language: null, handsFree: false, standBy: false, liveText: true, sounds: false },
  text: {
    vocabulary: [],
    correctNames: true,
    replacements: [],
    spokenPunctuation: false,
    withoutFillers: false,
    capitals: 'asHeard',
    trailingSpace: true,
  },
  insertion: { automatic: true, ways: {}, restoreClipboard: true },
  shortcut: { keys: 'Ctrl+Alt+Space', mode: 'toggle' },
  model: { name: null, device: 'auto', npuFormat: 'bfp16', restMinutes: null },
  server: { on: false, port: 9050, withoutToken: false },
  history: { on: true, keepAudio: true, keepDays: null, mostGb: 5 },
  files: { watchedFolder: null, format: 'txt' },
  postProcessing: { on: false, endpoint: 'http://127.0.0.1:11434/v1', model: '', prompt: 'Correct the punctuation.', timeoutS: 20 },
};

const CPU: Device = { kind: 'cpu', detail: 'AVX2, int8', threads: 2 };

const SPEECH = 'Ask not what your country can do for you, ask what you can do for your country.'.split(' ');

/** A history of some dictations, a few a day. */
function past(): Entry[] {
  const now = Date.now();
  const said = ['Please send the report to Alice before Friday.', 'The meeting begins at nine.', 'Milk, bread, and a new umbrella.'];
  return Array.from({ length: 8 }, (_, index) => ({
    id: 8 - index,
    startedMs: now - (index * 7 + 1) * 3_600_000,
    seconds: 3 + ((index * 17) % 90),
    state: index === 2 ? { kind: 'failed', why: { fault: 'notToTheEnd', detail: '' } } : { kind: 'done' },
    text: index === 2 ? '' : said[index % said.length]!,
    raw: null,
    edited: index === 3,
    name: index === 5 ? 'interview.wav' : null,
    model: 'amanuensis-demo.en',
    device: 'cpu',
    application: index % 2 === 0 ? 'gedit' : null,
    waitedMs: 180 + index * 11,
    pinned: index === 1,
    sound: index !== 4,
  }));
}

/** A dictation that speaks for itself, so that the page runs in a plain browser. Timers are passed in by tests as fake ones. */
export class MockBackend implements Backend {
  readonly files = new MockFiles((update) => this.say(update));
  #listener: (update: Update) => void = () => {};
  #ticking: ReturnType<typeof setInterval> | undefined;
  #measuring: ReturnType<typeof setInterval> | undefined;
  #measured = 0;
  #playing: ReturnType<typeof setInterval> | undefined;
  #take = 0;
  #tick = 0;
  #view: View = {
    phase: 'idle',
    writing: 0,
    handsFree: false,
    model: { kind: 'ready', name: 'amanuensis-demo.en', demo: true, multilingual: false, device: CPU, fallback: null },
    microphones: [
      { id: 'desk', name: 'Desk microphone' },
      { id: 'headset', name: 'Headset' },
    ],
    microphone: null,
    dropping: false,
    notices: [],
  };
  #choices: Choices = {
    settings: DEFAULTS,
    change: 0,
    api: { kind: 'off' },
    opening: false,
    models: ['amanuensis-demo.en'],
    key: { kind: 'none' },
    spoken: ['en', 'de', 'fr', 'ja'],
    version: '0.1.0',
    fromSource: true,
  };
  readonly #shelf = new MockShelf((models) => this.say({ kind: 'models', models }));
  /** What was copied last. */
  copied: string | undefined;

  /** Sends any update, as a test wants it. */
  say(update: Update): void {
    this.#listener(update);
  }

  /** Changes what the page knows of settings, and sends it. */
  choose(change: Partial<Choices>): void {
    this.#choose(change);
  }

  /** Changes the view and sends it. */
  show(change: Partial<View>): void {
    this.#view = { ...this.#view, ...change };
    this.say({ kind: 'view', view: this.#view });
  }

  /** Entries of the history, the newest first. Those that were deleted can be put back. */
  #entries: Entry[] = past();
  #deleted: Entry[] = [];
  #look: { typed: string; limit: number } | undefined;

  async subscribe(listener: (update: Update) => void): Promise<void> {
    this.#listener = listener;
    this.show({});
    this.#choose({});
    this.say({ kind: 'texts', takes: [] });
  }

  async watch(_visible: boolean): Promise<void> {}

  async watchPerformance(watched: boolean): Promise<void> {
    clearInterval(this.#measuring);
    if (watched) this.#measuring = setInterval(() => this.say({ kind: 'performance', performance: this.#measure() }), 1000);
  }

  async watchModels(watched: boolean): Promise<void> {
    this.#shelf.watch(watched);
  }

  async downloadModel(name: string): Promise<void> {
    this.#shelf.download(name);
  }

  async pauseModel(name: string): Promise<void> {
    this.#shelf.pause(name);
  }

  async discardModel(name: string): Promise<void> {
    this.#shelf.set(name, { kind: 'available' });
  }

  async deleteModel(name: string): Promise<void> {
    this.#shelf.set(name, { kind: 'available' });
  }

  async addModel(_title: string): Promise<void> {
    this.#shelf.fail({ fault: 'notAModel', detail: 'Letter.bin is not a Whisper model: it does not begin as a ggml file.' });
  }

  async dismissModels(): Promise<void> {
    this.#shelf.fail(null);
  }

  async setPanel(_on: boolean): Promise<void> {}

  async start(): Promise<void> {
    if (this.#view.phase !== 'idle') return;
    this.#take += 1;
    this.#tick = 0;
    this.show({ phase: 'recording', notices: [] });
    this.#ticking = setInterval(() => this.#hear(), 100);
  }

  async stop(): Promise<void> {
    if (this.#view.phase === 'idle') return;
    const words = SPEECH.slice(0, this.#heard());
    this.#end();
    if (words.length === 0) {
      this.#notify('info', { kind: 'noSpeech' });
      return;
    }
    this.say({ kind: 'text', take: this.#take, text: words.join(' ') });
  }

  async cancel(): Promise<void> {
    if (this.#view.phase === 'idle') return;
    this.#end();
    this.say({ kind: 'forget', take: this.#take });
    this.#notify('info', { kind: 'thrownAway' });
  }

  async chooseMicrophone(id: string | null): Promise<void> {
    const settings = structuredClone(this.#choices.settings);
    settings.dictation.microphone = id;
    await this.changeSettings(settings);
  }

  async copy(text: string): Promise<void> {
    this.copied = text;
  }

  async lookAtHistory(typed: string | null, limit: number): Promise<void> {
    this.#look = typed === null ? undefined : { typed, limit };
    this.#showHistory();
  }

  async editEntry(id: number, text: string): Promise<void> {
    this.#changeEntry(id, { text, edited: true });
  }

  async pinEntry(id: number, pinned: boolean): Promise<void> {
    this.#changeEntry(id, { pinned });
  }

  async deleteEntry(id: number): Promise<void> {
    this.#delete((entry) => entry.id === id);
  }

  async deleteHistory(): Promise<void> {
    this.#delete((entry) => !entry.pinned);
  }

  async restoreHistory(): Promise<void> {
    this.#entries = [...this.#entries, ...this.#deleted].sort((one, other) => other.startedMs - one.startedMs);
    this.#deleted = [];
    this.#showHistory();
  }

  async transcribeEntry(id: number, model: string | null): Promise<void> {
    this.say({ kind: 'interrupted', interrupted: [] });
    this.#changeEntry(id, { state: { kind: 'transcribing' } });
    const done = { state: { kind: 'done' as const }, text: SPEECH.join(' '), edited: false, model: model ?? 'amanuensis-demo.en' };
    setTimeout(() => this.#changeEntry(id, done), 1000);
  }

  async keepEntry(_id: number): Promise<void> {
    this.say({ kind: 'interrupted', interrupted: [] });
  }

  async play(of: Played, fromMs: number): Promise<void> {
    clearInterval(this.#playing);
    let atMs = fromMs;
    this.say({ kind: 'playing', playing: { of, atMs } });
    this.#playing = setInterval(() => {
      atMs += 100;
      if (atMs > 8000) return void this.silence();
      this.say({ kind: 'playing', playing: { of, atMs } });
    }, 100);
  }

  async silence(): Promise<void> {
    clearInterval(this.#playing);
    this.say({ kind: 'playing', playing: null });
  }

  async keepKey(key: string): Promise<void> {
    this.#choose({ key: { kind: key === '' ? 'none' : 'keyring' } });
  }

  async chooseWatchedFolder(_title: string): Promise<void> {
    const settings = structuredClone(this.#choices.settings);
    settings.files.watchedFolder = '/home/you/recordings';
    await this.changeSettings(settings);
  }

  #changeEntry(id: number, change: Partial<Entry>): void {
    this.#entries = this.#entries.map((entry) => (entry.id === id ? { ...entry, ...change } : entry));
    this.#showHistory();
  }

  #delete(gone: (entry: Entry) => boolean): void {
    this.#deleted = this.#entries.filter(gone);
    this.#entries = this.#entries.filter((entry) => !gone(entry));
    this.say({ kind: 'interrupted', interrupted: [] });
    this.#showHistory();
  }

  #showHistory(): void {
    if (!this.#look) return;
    const { typed, limit } = this.#look;
    const found = this.#entries.filter((entry) => entry.text.toLowerCase().includes(typed.trim().toLowerCase()));
    const history = { typed, entries: found.slice(0, limit), total: found.length, deleted: this.#deleted.length, fault: null };
    this.say({ kind: 'history', history });
  }

  async dismissNotice(id: number): Promise<void> {
    this.show({ notices: this.#view.notices.filter((notice) => notice.id !== id) });
  }

  async changeSettings(settings: Settings, change = this.#choices.change): Promise<void> {
    if (settings.server.port < 1024 || settings.server.port > 65535) {
      this.#notify('error', { kind: 'settingsRefused' }, { fault: 'outOfBounds', detail: 'The setting server.port has to be a number from 1024 to 65535.' });
      this.#choose({ change });
      return;
    }
    const { on, port } = settings.server;
    this.#choose({ settings, change, api: on ? { kind: 'on', address: `http://127.0.0.1:${port}/v1` } : { kind: 'off' } });
    this.show({ microphone: settings.dictation.microphone, handsFree: settings.dictation.handsFree });
    const { name } = settings.model;
    if (name !== null && this.#view.model.kind === 'ready' && this.#view.model.name !== name) this.#useModel(name);
  }

  #useModel(name: string): void {
    this.#shelf.use(name, () => {
      const demo = name === 'amanuensis-demo.en';
      this.show({ model: { kind: 'ready', name, demo, multilingual: !demo, device: CPU, fallback: null } });
    });
  }

  /** As if the app had never been started. */
  async firstStart(): Promise<void> {
    await this.changeSettings({ ...DEFAULTS, interface: { ...DEFAULTS.interface, guided: false } });
  }

  async restoreSettings(): Promise<void> {
    await this.changeSettings(DEFAULTS);
  }

  async importSettings(_title: string): Promise<void> {
    await this.changeSettings({ ...DEFAULTS, text: { ...DEFAULTS.text, vocabulary: ['Amanuensis'] } });
  }

  async exportSettings(_title: string): Promise<void> {
    this.#notify('info', { kind: 'settingsExported', path: '/home/you/amanuensis-settings.json' });
  }

  async copyToken(): Promise<void> {
    this.copied = 'a token';
  }

  async testInsertion(): Promise<void> {
    this.say({ kind: 'insertion', test: { desktop: 'x11', running: true, ways: [] } });
    const failure: Failure = { fault: 'notOnThisDesktop', detail: 'It needs a session on Wayland, which this desktop does not have.' };
    const ways = [
      { way: 'virtual-keyboard', failure },
      { way: 'xtest', failure: null },
      { way: 'paste', failure: null },
    ];
    setTimeout(() => this.say({ kind: 'insertion', test: { desktop: 'x11', running: false, ways } }), 1000);
  }

  #notify(tone: Tone, said: Said, why: Failure | null = null): void {
    const id = 1 + Math.max(0, ...this.#view.notices.map((notice) => notice.id));
    this.show({ notices: [{ id, tone, said, why }, ...this.#view.notices].slice(0, 3) });
  }

  #choose(change: Partial<Choices>): void {
    this.#choices = { ...this.#choices, ...change };
    this.say({ kind: 'settings', choices: this.#choices });
  }

  #measure(): Performance {
    this.#measured += 1;
    const wave = (pace: number) => 0.5 + 0.45 * Math.sin(this.#measured * pace);
    const stage = (name: string, load: number, p50Ms: number) => ({ name, load, service: { p50Ms, p95Ms: p50Ms * 1.6 }, waiting: 0, windows: 42 });
    return {
      stages: [stage('mel', wave(0.2) / 8, 11), stage('encode', wave(0.3), 180), stage('decode', wave(0.5) / 2, 95)],
      npu: { kind: 'unused', device: CPU },
      queued: 0,
      inFlight: 1,
      finished: 17,
      speed: 14.2,
      firstSample: { p50Ms: 43, p95Ms: 78 },
      lastWord: { p50Ms: 310, p95Ms: 470 },
      pools: [
        { name: 'audio', inUse: 1, capacity: 6, mebibytes: 11 },
        { name: 'mel', inUse: 1, capacity: 6, mebibytes: 5.5 },
        { name: 'encoder output', inUse: 1, capacity: 4, mebibytes: 5.9 },
      ],
      cpu: 0.9 + wave(0.3),
      cores: 8,
      memoryMib: 214,
      powerW: { kind: 'known', value: 17.5 },
      temperatureC: { kind: 'forbidden' },
      recent: [0, 0.4, 0.8].map((more) => ({ queuedMs: 4, stagesMs: [11, 180 + 40 * more, 95 * (1 + more)], totalMs: 300 + 140 * more })),
    };
  }

  #heard(): number {
    return Math.min(SPEECH.length, Math.floor(this.#tick / 3));
  }

  #hear(): void {
    this.#tick += 1;
    this.say({ kind: 'level', level: 0.35 + 0.3 * Math.sin(this.#tick * 1.7) });
    const heard = this.#heard();
    const sure = Math.max(0, heard - 2);
    const committed = SPEECH.slice(0, sure).join(' ');
    const tentative = SPEECH.slice(sure, heard).join(' ');
    this.say({ kind: 'live', take: this.#take, committed, tentative });
  }

  #end(): void {
    clearInterval(this.#ticking);
    this.show({ phase: 'idle' });
    this.say({ kind: 'level', level: 0 });
  }
}
