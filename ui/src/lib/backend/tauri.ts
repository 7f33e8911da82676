import { invoke } from '@tauri-apps/api/core';

import type { Backend, FilesBackend, Format, Played } from '.';
import type { Settings } from './wire/Settings';
import type { Update } from './wire/Update';

/** Asks for what is new, and when it is told, again. It ends when nobody answers any more. */
export async function follow<News>(command: string, listener: (news: News) => void): Promise<void> {
  for (let first = true; ; first = false) {
    listener(await invoke<News>(command, { first }));
  }
}

/** The app's Rust. The names are those of `src-tauri/src/commands.rs`. */
export class TauriBackend implements Backend {
  readonly files = new TauriFiles();

  subscribe(listener: (update: Update) => void): Promise<void> {
    return follow<Update[]>('updates', (updates) => updates.forEach(listener));
  }
  watch(visible: boolean): Promise<void> {
    return invoke('watch', { visible });
  }
  watchPerformance(watched: boolean): Promise<void> {
    return invoke('watch_performance', { watched });
  }
  watchModels(watched: boolean): Promise<void> {
    return invoke('watch_models', { watched });
  }
  downloadModel(name: string): Promise<void> {
    return invoke('download_model', { name });
  }
  pauseModel(name: string): Promise<void> {
    return invoke('pause_model', { name });
  }
  discardModel(name: string): Promise<void> {
    return invoke('discard_model', { name });
  }
  deleteModel(name: string): Promise<void> {
    return invoke('delete_model', { name });
  }
  addModel(title: string): Promise<void> {
    return invoke('add_model', { title });
  }
  dismissModels(): Promise<void> {
    return invoke('dismiss_models');
  }
  setPanel(on: boolean): Promise<void> {
    return invoke('set_panel', { on });
  }
  start(): Promise<void> {
    return invoke('start');
  }
  stop(): Promise<void> {
    return invoke('stop');
  }
  cancel(): Promise<void> {
    return invoke('cancel');
  }
  chooseMicrophone(id: string | null): Promise<void> {
    return invoke('choose_microphone', { id });
  }
  copy(text: string): Promise<void> {
    return invoke('copy', { text });
  }
  dismissNotice(id: number): Promise<void> {
    return invoke('dismiss_notice', { id });
  }
  changeSettings(settings: Settings, change: number): Promise<void> {
    return invoke('change_settings', { settings, change });
  }
  restoreSettings(): Promise<void> {
    return invoke('restore_settings');
  }
  importSettings(title: string): Promise<void> {
    return invoke('import_settings', { title });
  }
  exportSettings(title: string): Promise<void> {
    return invoke('export_settings', { title });
  }
  copyToken(): Promise<void> {
    return invoke('copy_token');
  }
  lookAtHistory(typed: string | null, limit: number): Promise<void> {
    return invoke('look_at_history', { typed, limit });
  }
  editEntry(id: number, text: string): Promise<void> {
    return invoke('edit_entry', { id, text });
  }
  pinEntry(id: number, pinned: boolean): Promise<void> {
    return invoke('pin_entry', { id, pinned });
  }
  deleteEntry(id: number): Promise<void> {
    return invoke('delete_entry', { id });
  }
  deleteHistory(): Promise<void> {
    return invoke('delete_history');
  }
  restoreHistory(): Promise<void> {
    return invoke('restore_history');
  }
  transcribeEntry(id: number, model: string | null): Promise<void> {
    return invoke('transcribe_entry', { id, model });
  }
  keepEntry(id: number): Promise<void> {
    return invoke('keep_entry', { id });
  }
  play(of: Played, fromMs: number): Promise<void> {
    return invoke('play', { of, fromMs });
  }
  silence(): Promise<void> {
    return invoke('stop_playing');
  }
  keepKey(key: string): Promise<void> {
    return invoke('keep_key', { key });
  }
  chooseWatchedFolder(title: string): Promise<void> {
    return invoke('choose_watched_folder', { title });
  }
  testInsertion(): Promise<void> {
    return invoke('test_insertion');
  }
}

/** The names are those of `src-tauri/src/commands/files.rs`. */
class TauriFiles implements FilesBackend {
  choose(title: string): Promise<void> {
    return invoke('choose_files', { title });
  }
  chooseFolders(title: string): Promise<void> {
    return invoke('choose_folders', { title });
  }
  drop(id: number): Promise<void> {
    return invoke('drop_file', { id });
  }
  clear(): Promise<void> {
    return invoke('clear_files');
  }
  retry(id: number): Promise<void> {
    return invoke('retry_file', { id });
  }
  move(id: number, before: number | null): Promise<void> {
    return invoke('move_file', { id, before });
  }
  setLanguage(id: number, language: string | null): Promise<void> {
    return invoke('file_language', { id, language });
  }
  show(id: number | null): Promise<void> {
    return invoke('show_file', { id });
  }
  edit(id: number, segment: number, text: string): Promise<void> {
    return invoke('edit_segment', { id, segment, text });
  }
  copy(id: number): Promise<void> {
    return invoke('copy_file', { id });
  }
  export(id: number, format: Format, title: string): Promise<void> {
    return invoke('export_file', { id, format, title });
  }
  setModel(id: number, model: string | null): Promise<void> {
    return invoke('file_model', { id, model });
  }
}
