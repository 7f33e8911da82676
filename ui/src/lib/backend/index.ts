// The only folder that knows what is on the other side: the app's Rust, or a mock in a plain browser.

import { isTauri } from '@tauri-apps/api/core';

import type { FilesBackend } from './files';
import { MockBackend } from './mock';
import { MockOverlay, TauriOverlay } from './overlay';
import { TauriBackend } from './tauri';
import type { Overlay } from './wire/Overlay';
import type { Played } from './wire/Played';
import type { Settings } from './wire/Settings';
import type { Update } from './wire/Update';

export type { Choices } from './wire/Choices';
export { formats, type FilesBackend, type Format } from './files';
export type { Device } from './wire/Device';
export type { Entry } from './wire/Entry';
export type { Failure } from './wire/Failure';
export type { Fault } from './wire/Fault';
export type { File } from './wire/File';
export type { FileState } from './wire/FileState';
export type { FileTranscript } from './wire/FileTranscript';
export type { History } from './wire/History';
export type { Interrupted } from './wire/Interrupted';
export type { InsertionTest } from './wire/InsertionTest';
export type { Microphone } from './wire/Microphone';
export type { Model } from './wire/Model';
export type { Models } from './wire/Models';
export type { Notice } from './wire/Notice';
export type { Said } from './wire/Said';
export type { Overlay } from './wire/Overlay';
export type { Performance } from './wire/Performance';
export type { Phase } from './wire/Phase';
export type { Played } from './wire/Played';
export type { Playing } from './wire/Playing';
export type { Reading } from './wire/Reading';
export type { Replacement } from './wire/Replacement';
export type { RequestTimes } from './wire/RequestTimes';
export type { Settings } from './wire/Settings';
export type { ShelfModel } from './wire/ShelfModel';
export type { ShelfState } from './wire/ShelfState';
export type { Span } from './wire/Span';
export type { Spoken } from './wire/Spoken';
export type { Take } from './wire/Take';
export type { Theme } from './wire/Theme';
export type { Update } from './wire/Update';
export type { View } from './wire/View';

/** What the page can ask for. Everything it gets to know arrives as an update. */
export interface Backend {
  subscribe(listener: (update: Update) => void): Promise<void>;
  /** Whether the page can be seen: nothing is sent to one that cannot. */
  watch(visible: boolean): Promise<void>;
  /** Whether the page shows what the machine does: it is not measured otherwise. */
  watchPerformance(watched: boolean): Promise<void>;
  /** Whether the page shows the models: they are not looked at otherwise. */
  watchModels(watched: boolean): Promise<void>;
  /** Begins a download, or goes on with one. */
  downloadModel(name: string): Promise<void>;
  pauseModel(name: string): Promise<void>;
  /** Ends a download and throws away what is here. */
  discardModel(name: string): Promise<void>;
  deleteModel(name: string): Promise<void>;
  /** Opens the system's file dialog. */
  addModel(title: string): Promise<void>;
  /** What went wrong with a model was read. */
  dismissModels(): Promise<void>;
  /** Makes the window a small panel above all others, or what it was before. */
  setPanel(on: boolean): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Throws away what is being recorded. */
  cancel(): Promise<void>;
  /** `null` is the system's default. */
  chooseMicrophone(id: string | null): Promise<void>;
  /** About recordings in files. */
  readonly files: FilesBackend;
  copy(text: string): Promise<void>;
  dismissNotice(id: number): Promise<void>;
  /** All settings, of which some may have changed: the page's change of this number. */
  changeSettings(settings: Settings, change: number): Promise<void>;
  restoreSettings(): Promise<void>;
  /** Opens the system's file dialog under this title. */
  importSettings(title: string): Promise<void>;
  /** Opens the system's file dialog under this title. */
  exportSettings(title: string): Promise<void>;
  /** Opens the system's dialog for folders under this title; the one that is chosen is watched. */
  chooseWatchedFolder(title: string): Promise<void>;
  /** Keeps the language model's key; an empty one is none. */
  keepKey(key: string): Promise<void>;
  /** Puts the local API's token on the clipboard. */
  copyToken(): Promise<void>;
  /** Sends the newest entries in which these words stand, and again whenever they change; `null` ends it. */
  lookAtHistory(typed: string | null, limit: number): Promise<void>;
  editEntry(id: number, text: string): Promise<void>;
  pinEntry(id: number, pinned: boolean): Promise<void>;
  /** Takes an entry off the list; it can be put back for half a minute. */
  deleteEntry(id: number): Promise<void>;
  /** Takes everything off the list that is not pinned. */
  deleteHistory(): Promise<void>;
  /** Puts back what was deleted last. */
  restoreHistory(): Promise<void>;
  /** Writes down the recording of an entry, with the model of this name; `null` is the one in use. */
  transcribeEntry(id: number, model: string | null): Promise<void>;
  /** Keeps the recording of an interrupted dictation, without text. */
  keepEntry(id: number): Promise<void>;
  /** Plays a recording from here on. */
  play(of: Played, fromMs: number): Promise<void>;
  /** Plays nothing any more. */
  silence(): Promise<void>;
  /** Finds out which ways of putting text into other programs work here. */
  testInsertion(): Promise<void>;
}

export function connect(): Backend {
  return isTauri() ? new TauriBackend() : new MockBackend();
}

/** What the overlay can ask for. */
export interface OverlayBackend {
  subscribe(listener: (shown: Overlay) => void): Promise<void>;
  stop(): Promise<void>;
  /** Throws away what is being recorded. */
  cancel(): Promise<void>;
}

export function connectOverlay(): OverlayBackend {
  return isTauri() ? new TauriOverlay() : new MockOverlay();
}
