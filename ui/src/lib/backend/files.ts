/** Kinds of documents, by the endings of their names. */
export const formats = ['txt', 'srt', 'vtt', 'md', 'docx', 'csv', 'json'] as const;

export type Format = (typeof formats)[number];

/** What the page can ask of recordings in files. */
export interface FilesBackend {
  /** Opens the system's file dialog under this title. */
  choose(title: string): Promise<void>;
  /** Opens the system's dialog for folders under this title. */
  chooseFolders(title: string): Promise<void>;
  /** Cancels a running file, or takes a finished one off the list. */
  drop(id: number): Promise<void>;
  /** Takes all that are over off the list. */
  clear(): Promise<void>;
  /** Transcribes a file once more. */
  retry(id: number): Promise<void>;
  /** `null` is the end of the list. */
  move(id: number, before: number | null): Promise<void>;
  /** `null` lets the model find out. A file that is done is transcribed again. */
  setLanguage(id: number, language: string | null): Promise<void>;
  /** `null` is the model in use. A file that is done is transcribed again. */
  setModel(id: number, model: string | null): Promise<void>;
  /** Which transcript the page wants to be told of. */
  show(id: number | null): Promise<void>;
  edit(id: number, segment: number, text: string): Promise<void>;
  /** Puts all of a file's text on the clipboard. */
  copy(id: number): Promise<void>;
  /** Opens the system's dialog for saving under this title. */
  export(id: number, format: Format, title: string): Promise<void>;
}
