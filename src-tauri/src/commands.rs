//! The page's commands: one line each into the [`Desk`].

use tauri::State;
use tauri::ipc::Channel;

use crate::desk::{Desk, Message};
use crate::wire::Update;

/// Begins to send everything that changes to `updates`.
#[tauri::command]
pub fn subscribe(desk: State<'_, Desk>, updates: Channel<Update>) {
    // A page that was closed or reloaded subscribes anew and gets everything then: its failure is of no interest.
    desk.send(Message::Subscribe(Box::new(move |update| _ = updates.send(update))));
}

/// Whether the page can be seen: nothing is sent to one that cannot.
#[tauri::command]
pub fn watch(desk: State<'_, Desk>, visible: bool) {
    desk.send(Message::Visible(visible));
}
