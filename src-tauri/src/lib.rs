//! The desktop shell: one window over the engine and the dictation session.
//!
//! [`desk`] holds all state and logic on a thread of its own, and knows no Tauri; `commands` are one-liners into it;
//! [`wire`] is what the page sees.

use clap::Parser;
use tauri::{DragDropEvent, Manager as _, WindowEvent};

mod commands;
pub mod desk;
pub mod wire;

use desk::{Desk, Message};

/// How the app is started.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "amanuensis-app", version, about = "Dictation and transcription on your own machine")]
pub struct Arguments {
    /// Open a window even if one is open already.
    #[arg(long)]
    pub several: bool,
}

/// Opens the window and runs until it is closed.
///
/// # Errors
/// If the desktop offers no display, or no WebKit.
pub fn run(arguments: Arguments) -> Result<(), tauri::Error> {
    let mut builder = tauri::Builder::default();
    if !arguments.several {
        builder = builder.plugin(tauri_plugin_single_instance::init(|app, _, _| {
            if let Some(window) = app.get_webview_window("main") {
                // A window manager may refuse to raise it; there is nothing more to try.
                let _ = window.unminimize().and_then(|()| window.set_focus());
            }
        }));
    }
    builder
        .manage(Desk::start())
        .invoke_handler(tauri::generate_handler![commands::subscribe, commands::watch])
        .on_window_event(|window, event| {
            let desk = window.state::<Desk>();
            match event {
                WindowEvent::DragDrop(DragDropEvent::Enter { .. }) => desk.send(Message::Dragging(true)),
                WindowEvent::DragDrop(DragDropEvent::Leave) => desk.send(Message::Dragging(false)),
                WindowEvent::DragDrop(DragDropEvent::Drop { paths, .. }) => desk.send(Message::Dropped(paths.clone())),
                _ => {}
            }
        })
        .run(tauri::generate_context!())
}
