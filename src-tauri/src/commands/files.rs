//! Commands about recordings and their transcripts.

use std::path::PathBuf;

use amanuensis_export::Format;
use tauri::{AppHandle, State, WebviewWindow};

use super::{Asked, ask_for_files};
use crate::desk::files::FileId;
use crate::desk::{Desk, FileAsk as Ask, Message};

fn ask(desk: &Desk, ask: Ask) {
    desk.send(Message::Files(ask));
}

/// Cancels a file, or takes one that is over off the list.
#[tauri::command]
pub fn drop_file(desk: State<'_, Desk>, id: FileId) {
    ask(&desk, Ask::Drop(id));
}

/// Takes all files that are over off the list.
#[tauri::command]
pub fn clear_files(desk: State<'_, Desk>) {
    ask(&desk, Ask::Clear);
}

/// Transcribes a file once more that failed or was cancelled.
#[tauri::command]
pub fn retry_file(desk: State<'_, Desk>, id: FileId) {
    ask(&desk, Ask::Retry(id));
}

/// Puts a file before another one, or at the end of the list.
#[tauri::command]
pub fn move_file(desk: State<'_, Desk>, id: FileId, before: Option<FileId>) {
    ask(&desk, Ask::Move { id, before });
}

/// Says in which language a file is; without one the model finds out.
#[tauri::command]
pub fn file_language(desk: State<'_, Desk>, id: FileId, language: Option<String>) {
    ask(&desk, Ask::Language { id, language });
}

/// Says which model is to transcribe a file; without one it is the one in use.
#[tauri::command]
pub fn file_model(desk: State<'_, Desk>, id: FileId, model: Option<String>) {
    ask(&desk, Ask::Model { id, model });
}

/// The page shows the transcript of this file, or of none.
#[tauri::command]
pub fn show_file(desk: State<'_, Desk>, id: Option<FileId>) {
    ask(&desk, Ask::Show(id));
}

/// Gives a segment another text.
#[tauri::command]
pub fn edit_segment(desk: State<'_, Desk>, id: FileId, segment: u32, text: String) {
    ask(&desk, Ask::Edit { id, segment: segment as usize, text });
}

/// Puts a file's text on the clipboard.
#[tauri::command]
pub fn copy_file(desk: State<'_, Desk>, id: FileId) {
    ask(&desk, Ask::Copy(id));
}

/// Asks where a file's text should go, and writes it there. The dialog asks before it takes another file's place. `title` is
/// in the page's language.
#[tauri::command]
pub fn export_file(
    app: AppHandle,
    window: WebviewWindow,
    desk: State<'_, Desk>,
    id: FileId,
    format: String,
    title: String,
) {
    // The page knows the formats; another one would be a mistake in it.
    let Ok(format) = format.parse::<Format>() else { return };
    let reply = move |folder: PathBuf, name: String| {
        let opened = ask_for_files(&app, window, title, Asked::New(name, Some(folder)), move |chosen| {
            chosen.into_iter().next().map(|path| Message::Files(Ask::Export { id, format, path }))
        });
        if let Err(error) = opened {
            tracing::warn!("no dialog can be opened: {error}");
        }
    };
    ask(&desk, Ask::Place { id, format, reply: Box::new(reply) });
}

/// Opens the desktop's file dialog; what is chosen there is transcribed. `title` is in the page's language.
#[tauri::command]
pub fn choose_files(app: AppHandle, window: WebviewWindow, title: String) -> Result<(), tauri::Error> {
    ask_for_files(&app, window, title, Asked::Several, |files| Some(Message::Open(files)))
}

/// Opens the desktop's dialog for folders; the recordings in those that are chosen are transcribed.
#[tauri::command]
pub fn choose_folders(app: AppHandle, window: WebviewWindow, title: String) -> Result<(), tauri::Error> {
    ask_for_files(&app, window, title, Asked::Folders, |folders| Some(Message::Open(folders)))
}
