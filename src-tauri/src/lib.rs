//! The desktop shell: one window over the engine and the dictation session.
//!
//! `desk` holds all state and logic on a thread of its own, and knows no Tauri; `commands` are one-liners into it;
//! `wire` is what the page sees.

use std::path::{Path, PathBuf};

use amanuensis_settings::Store;
use clap::{Args, Parser};
use tauri::{AppHandle, DragDropEvent, Manager as _, RunEvent, WebviewWindowBuilder, WindowEvent};

mod commands;
mod desk;
mod wire;

use desk::{Desk, Message};

/// How the app is started. If it is open already, the open one is told.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "amanuensis-app", version = amanuensis_version::VERSION, about = "Dictation and transcription on your own machine")]
pub struct Arguments {
    /// Recordings to transcribe.
    files: Vec<PathBuf>,
    /// Choose recordings to transcribe.
    #[arg(long)]
    choose: bool,
    #[command(flatten)]
    control: Control,
}

/// What a desktop's key bindings ask for.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
struct Control {
    /// Start dictating or, while dictating, stop.
    #[arg(long)]
    toggle: bool,
    /// Start dictating.
    #[arg(long)]
    start: bool,
    /// Stop dictating; what was said is written out.
    #[arg(long)]
    stop: bool,
    /// Throw away what is being dictated.
    #[arg(long)]
    cancel: bool,
}

impl Control {
    fn message(&self) -> Option<Message> {
        [
            (self.toggle, Message::Toggle),
            (self.start, Message::Start),
            (self.stop, Message::Stop),
            (self.cancel, Message::Cancel),
        ]
        .into_iter()
        .find_map(|(asked, message)| asked.then_some(message))
    }

    /// Whether there is nothing to do where no app is open.
    fn only_ends(&self) -> bool {
        self.stop || self.cancel
    }
}

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is nothing to draw on.
    #[error("no display can be reached; start the app from a desktop session, or use the command `amanuensis`")]
    NoDisplay,
    /// The window cannot be made.
    #[error(transparent)]
    Tauri(#[from] tauri::Error),
}

/// Opens the window and runs until it is closed.
///
/// # Errors
/// [`RunError`].
pub fn run(arguments: Arguments) -> Result<(), RunError> {
    // Tauri would do it too, but panic where it fails.
    gtk::init().map_err(|_| RunError::NoDisplay)?;
    tauri::Builder::default()
        .plugin(tauri_plugin_single_instance::init(|app, words, folder| {
            // What the other one could not parse, it has already complained about.
            if let Ok(arguments) = Arguments::try_parse_from(words) {
                obey(app, &arguments, Path::new(&folder));
            }
        }))
        .setup(move |app| {
            if arguments.control.only_ends() {
                app.handle().exit(0);
                return Ok(());
            }
            let models = amanuensis_models::folder();
            let data = models.parent().unwrap_or(&models);
            app.manage(Desk::start(data, Store::default(), desk::load_model));
            for window in &app.config().app.windows {
                WebviewWindowBuilder::from_config(app.handle(), window)?.build()?;
            }
            obey(app.handle(), &arguments, &std::env::current_dir().unwrap_or_default());
            Ok(())
        })
        .invoke_handler(tauri::generate_handler![
            commands::subscribe,
            commands::watch,
            commands::watch_performance,
            commands::start,
            commands::stop,
            commands::cancel,
            commands::choose_microphone,
            commands::choose_files,
            commands::drop_file,
            commands::copy,
            commands::dismiss_notice,
            commands::change_settings,
            commands::restore_settings,
            commands::import_settings,
            commands::export_settings,
            commands::copy_token,
            commands::history::look_at_history,
            commands::history::edit_entry,
            commands::history::pin_entry,
            commands::history::delete_entry,
            commands::history::delete_history,
            commands::history::restore_history,
            commands::history::transcribe_entry,
            commands::history::keep_entry,
            commands::history::sound_of,
            commands::watch_models,
            commands::download_model,
            commands::pause_model,
            commands::discard_model,
            commands::delete_model,
            commands::add_model,
            commands::dismiss_models,
        ])
        .on_window_event(|window, event| {
            if let Some(message) = message_of(event) {
                window.state::<Desk>().send(message);
            }
        })
        .build(tauri::generate_context!())?
        .run(|app, event| {
            // The process ends right after this: nothing is dropped.
            if let (RunEvent::Exit, Some(desk)) = (event, app.try_state::<Desk>()) {
                desk.close();
            }
        });
    Ok(())
}

/// Does what the app was started for. `folder` is where relative paths begin.
fn obey(app: &AppHandle, arguments: &Arguments, folder: &Path) {
    let desk = app.state::<Desk>();
    if !arguments.files.is_empty() {
        desk.send(Message::Open(arguments.files.iter().map(|file| folder.join(file)).collect()));
    }
    match arguments.control.message() {
        // A key binding works in the background: the window stays where it is, and the focus too.
        Some(message) => desk.send(message),
        None => {
            if let Some(window) = app.get_webview_window("main") {
                // A window manager may refuse to raise it; there is nothing more to try.
                let _ = window.unminimize().and_then(|()| window.set_focus());
                if arguments.choose {
                    // It fails only while the app ends.
                    let _ = commands::choose_files(app.clone(), window, "Open recordings".to_owned());
                }
            }
        }
    }
}

/// What an event of the window means to the desk.
fn message_of(event: &WindowEvent) -> Option<Message> {
    match event {
        WindowEvent::Focused(true) => Some(Message::Focused),
        WindowEvent::DragDrop(DragDropEvent::Enter { .. }) => Some(Message::Dragging(true)),
        WindowEvent::DragDrop(DragDropEvent::Leave) => Some(Message::Dragging(false)),
        WindowEvent::DragDrop(DragDropEvent::Drop { paths, .. }) => Some(Message::Open(paths.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser as _;
    use tauri::{DragDropEvent, PhysicalPosition, WindowEvent};

    use super::{Arguments, message_of};
    use crate::desk::Message;

    #[test]
    fn files_dropped_on_the_window_are_opened() {
        let paths = vec![PathBuf::from("/music/talk.flac"), PathBuf::from("/music/more.ogg")];
        let position = PhysicalPosition::new(10.0, 10.0);
        let drop = WindowEvent::DragDrop(DragDropEvent::Drop { paths: paths.clone(), position });
        assert!(matches!(message_of(&drop), Some(Message::Open(opened)) if opened == paths));
        let enter = WindowEvent::DragDrop(DragDropEvent::Enter { paths, position });
        assert!(matches!(message_of(&enter), Some(Message::Dragging(true))));
    }

    #[test]
    fn a_key_binding_asks_for_one_thing() {
        let parse = |word: &str| Arguments::try_parse_from(["amanuensis-app", word]).unwrap().control;
        assert!(matches!(parse("--toggle").message(), Some(Message::Toggle)));
        assert!(matches!(parse("--start").message(), Some(Message::Start)));
        assert!(matches!(parse("--stop").message(), Some(Message::Stop)));
        assert!(matches!(parse("--cancel").message(), Some(Message::Cancel)));
        assert!(parse("talk.flac").message().is_none());
        assert!(Arguments::try_parse_from(["amanuensis-app", "--start", "--stop"]).is_err());
    }
}
