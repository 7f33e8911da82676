//! What the page asks of the history.

use amanuensis_history::EntryId;
use tauri::State;

use crate::desk::{Desk, HistoryAsk as Ask, Look, Message};

/// The most entries that are shown, and the longest text that is taken from the page.
const MOST_ENTRIES: u32 = 10_000;
const MOST_BYTES: usize = 1 << 20;

fn ask(desk: &Desk, ask: Ask) {
    desk.send(Message::History(ask));
}

/// Shows the entries in which these words stand; none of them, if no words are named.
#[tauri::command]
pub fn look_at_history(desk: State<'_, Desk>, typed: Option<String>, limit: u32) {
    let limit = limit.min(MOST_ENTRIES);
    ask(&desk, Ask::Look(typed.map(|typed| Look { typed: typed.chars().take(200).collect(), limit })));
}

/// The user's own version of an entry's text.
#[tauri::command]
pub fn edit_entry(desk: State<'_, Desk>, id: u32, text: String) {
    if text.len() <= MOST_BYTES {
        ask(&desk, Ask::Edit(EntryId(id.into()), text));
    }
}

/// Keeps an entry until the user deletes it, or no longer.
#[tauri::command]
pub fn pin_entry(desk: State<'_, Desk>, id: u32, pinned: bool) {
    ask(&desk, Ask::Pin(EntryId(id.into()), pinned));
}

/// Takes an entry off the list.
#[tauri::command]
pub fn delete_entry(desk: State<'_, Desk>, id: u32) {
    ask(&desk, Ask::Delete(EntryId(id.into())));
}

/// Takes all entries off the list that are not pinned.
#[tauri::command]
pub fn delete_history(desk: State<'_, Desk>) {
    ask(&desk, Ask::DeleteAll);
}

/// Puts back what was taken off the list last.
#[tauri::command]
pub fn restore_history(desk: State<'_, Desk>) {
    ask(&desk, Ask::Restore);
}

/// Writes an entry's text, once more or for the first time, with the model of this name or the one in use.
#[tauri::command]
pub fn transcribe_entry(desk: State<'_, Desk>, id: u32, model: Option<String>) {
    ask(&desk, Ask::Transcribe(EntryId(id.into()), model));
}

/// Keeps the recording of a dictation that broke off.
#[tauri::command]
pub fn keep_entry(desk: State<'_, Desk>, id: u32) {
    ask(&desk, Ask::Keep(EntryId(id.into())));
}
