//! The desktop shell: one window over the engine and the dictation session.
//!
//! `desk` holds all state and logic on a thread of its own, and knows no Tauri; `commands` are one-liners into it;
//! `wire` is what the page sees.

use std::path::{Path, PathBuf};
use std::time::Duration;

use amanuensis_control::{ControlError, Listener, Request};
use amanuensis_settings::Store;
use clap::{Args, Parser};
use tauri::{AppHandle, DragDropEvent, Manager as _, RunEvent, WebviewWindowBuilder, WindowEvent};

mod commands;
mod desk;
mod notifications;
mod tray;
mod windows;
mod wire;
mod words;

use desk::{Desk, Errand, Message};
use tray::{Choice, Tray};

/// How the app is started. If it is open already, the open one is told.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "amanuensis-app", version = amanuensis_version::VERSION, about = "Dictation and transcription on your own machine")]
pub struct Arguments {
    /// Recordings to transcribe.
    files: Vec<PathBuf>,
    /// Choose recordings to transcribe.
    #[arg(long)]
    choose: bool,
    /// Start without showing the window, as with the session.
    #[arg(long)]
    background: bool,
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

impl Arguments {
    /// What an app that runs is told. `folder` is where relative paths begin.
    fn requests(&self, folder: &Path) -> Vec<Request> {
        let Control { toggle, start, stop, cancel } = self.control;
        let mut requests = Vec::new();
        if !self.files.is_empty() {
            requests.push(Request::Open(self.files.iter().map(|file| folder.join(file)).collect()));
        }
        let asked =
            [(toggle, Request::Toggle), (start, Request::Start), (stop, Request::Stop), (cancel, Request::Cancel)];
        let asked = asked.into_iter().find_map(|(asked, request)| asked.then_some(request));
        // A key binding works in the background: the window stays where it is, and the focus too.
        let front = match (self.choose, self.background) {
            (true, _) => Some(Request::Choose),
            (false, true) => None,
            (false, false) => Some(Request::Show),
        };
        requests.extend(asked.or(front));
        requests
    }
}

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is nothing to draw on.
    #[error("no display can be reached; start the app from a desktop session, or use the command `amanuensis`")]
    NoDisplay,
    /// The app that runs already cannot be told.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The window cannot be made.
    #[error(transparent)]
    Tauri(#[from] tauri::Error),
}

/// The main window's name.
const MAIN: &str = "main";

/// Opens the window and runs until it is closed.
///
/// # Errors
/// [`RunError`].
pub fn run(arguments: Arguments) -> Result<(), RunError> {
    let requests = arguments.requests(&std::env::current_dir().unwrap_or_default());
    let listener = amanuensis_control::runtime_folder().and_then(|folder| Listener::bind(&folder));
    if let Err(ControlError::AlreadyRunning) = listener {
        return Ok(tell_running_app(&requests)?);
    }
    if matches!(requests[..], [Request::Stop | Request::Cancel]) {
        // There is nothing to end where no app is open.
        return Ok(());
    }
    windows::spare_the_graphics_card();
    // Tauri would do it too, but panic where it fails.
    gtk::init().map_err(|_| RunError::NoDisplay)?;
    let listener = listener.inspect_err(|error| tracing::warn!("key bindings will not work: {error}")).ok();
    tauri::Builder::default()
        .manage(windows::panel::Before::default())
        .setup(move |app| {
            let data = amanuensis_models::data_folder();
            let handle = app.handle().clone();
            app.manage(Tray::start(move |choice| choose(&handle, choice)));
            let handle = app.handle().clone();
            app.manage(Desk::start(&data, Store::default(), desk::load_model, move |errand| {
                run_errand(&handle, errand)
            }));
            for window in &app.config().app.windows {
                let builder = WebviewWindowBuilder::from_config(app.handle(), window)?.visible(!arguments.background);
                let window = builder.data_directory(windows::page_folder(app.handle())).build()?;
                windows::revive(&window)?;
            }
            for request in requests {
                obey(app.handle(), request);
            }
            if let Some(listener) = listener {
                let handle = app.handle().clone();
                app.manage(listener.serve(move |request| {
                    obey(&handle, request);
                    Ok(())
                }));
            }
            Ok(())
        })
        .invoke_handler(tauri::generate_handler![
            commands::updates,
            commands::overlay_updates,
            commands::watch,
            commands::watch_performance,
            commands::set_panel,
            commands::start,
            commands::stop,
            commands::cancel,
            commands::choose_microphone,
            commands::files::retry_file,
            commands::files::move_file,
            commands::files::file_language,
            commands::files::show_file,
            commands::files::edit_segment,
            commands::files::copy_file,
            commands::files::export_file,
            commands::files::file_model,
            commands::play,
            commands::stop_playing,
            commands::files::choose_files,
            commands::files::choose_folders,
            commands::files::drop_file,
            commands::files::clear_files,
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
            commands::watch_models,
            commands::download_model,
            commands::pause_model,
            commands::discard_model,
            commands::delete_model,
            commands::add_model,
            commands::dismiss_models,
            commands::test_insertion,
            commands::choose_watched_folder,
            commands::keep_key,
        ])
        .on_window_event(|window, event| {
            if window.label() != MAIN {
                return;
            }
            if let Some(message) = message_of(event) {
                window.state::<Desk>().send(message);
            }
            match event {
                WindowEvent::CloseRequested { api, .. } if window.state::<Tray>().is_hosted() => {
                    api.prevent_close();
                    // What cannot be hidden stays in sight.
                    let _ = window.hide();
                }
                // The overlay's window may still be there, and nobody sees it.
                WindowEvent::Destroyed => window.app_handle().exit(0),
                _ => {}
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

/// Does on a thread of its own what may hang, and is missed by nobody where it fails: the log says so.
fn apart<E: std::fmt::Display>(name: &'static str, work: impl FnOnce() -> Result<(), E> + Send + 'static) {
    let work = move || {
        if let Err(error) = work() {
            tracing::info!("{name}: {error}");
        }
    };
    if let Err(error) = std::thread::Builder::new().name(name.into()).spawn(work) {
        tracing::info!("{name}: {error}");
    }
}

/// Does what was chosen in the tray.
fn choose(app: &AppHandle, choice: Choice) {
    match choice {
        Choice::Toggle => app.state::<Desk>().send(Message::Toggle),
        Choice::Show => show(app),
        Choice::Quit => app.exit(0),
    }
}

/// Brings the main window to the front.
fn show(app: &AppHandle) {
    if let Some(window) = app.get_webview_window(MAIN) {
        // A window manager may refuse to raise it; there is nothing more to try.
        let _ = window.show().and_then(|()| window.unminimize()).and_then(|()| window.set_focus());
    }
}

/// Does what the desk wants of the desktop, without making it wait.
fn run_errand(app: &AppHandle, errand: Errand) {
    match errand {
        Errand::Overlay(curtain) => {
            let handle = app.clone();
            // After the end there is no window to be drawn.
            let _ = app.run_on_main_thread(move || windows::overlay::draw(&handle, curtain));
        }
        Errand::Tray(face) => app.state::<Tray>().show(face),
        Errand::Sound(chime) => apart("chime", move || chime.play()),
        Errand::Notify { summary, body } => apart("notify", move || notifications::notify(&summary, &body)),
    }
}

/// Hands over to the app that is open.
fn tell_running_app(requests: &[Request]) -> Result<(), ControlError> {
    let folder = amanuensis_control::runtime_folder()?;
    for request in requests {
        let mut told = amanuensis_control::send(&folder, request);
        // It may have started this very moment.
        for _ in 0..50 {
            if !matches!(told, Err(ControlError::NotRunning)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            told = amanuensis_control::send(&folder, request);
        }
        told?;
    }
    Ok(())
}

/// Does what was asked for, by this start or another.
fn obey(app: &AppHandle, request: Request) {
    let desk = app.state::<Desk>();
    match request {
        Request::Toggle => desk.send(Message::Toggle),
        Request::Start => desk.send(Message::Start),
        Request::Stop => desk.send(Message::Stop),
        Request::Cancel => desk.send(Message::Cancel),
        Request::Open(paths) => desk.send(Message::Open(paths)),
        Request::Show | Request::Choose => {
            show(app);
            if let Some(window) = app.get_webview_window(MAIN).filter(|_| request == Request::Choose) {
                // It fails only while the app ends.
                let _ = commands::files::choose_files(app.clone(), window, words::of_system().open.to_owned());
            }
        }
    }
}

/// What an event of the window means to the desk.
fn message_of(event: &WindowEvent) -> Option<Message> {
    match event {
        WindowEvent::Focused(focused) => Some(Message::Focused(*focused)),
        WindowEvent::DragDrop(DragDropEvent::Enter { .. }) => Some(Message::Dragging(true)),
        WindowEvent::DragDrop(DragDropEvent::Leave) => Some(Message::Dragging(false)),
        WindowEvent::DragDrop(DragDropEvent::Drop { paths, .. }) => Some(Message::Open(paths.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use amanuensis_control::Request;
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
        let asked = |words: &[&str]| {
            let words = ["amanuensis-app"].iter().chain(words);
            Arguments::try_parse_from(words).map(|arguments| arguments.requests(Path::new("/home/me")))
        };
        assert_eq!(asked(&["--toggle"]).unwrap(), [Request::Toggle]);
        assert_eq!(asked(&["--start"]).unwrap(), [Request::Start]);
        assert_eq!(asked(&["--stop"]).unwrap(), [Request::Stop]);
        assert_eq!(asked(&["--cancel"]).unwrap(), [Request::Cancel]);
        assert_eq!(asked(&[]).unwrap(), [Request::Show]);
        assert_eq!(asked(&["--choose"]).unwrap(), [Request::Choose]);
        assert_eq!(asked(&["--background"]).unwrap(), []);
        let open = Request::Open(vec!["/home/me/talk.flac".into(), "/music/a.ogg".into()]);
        assert_eq!(asked(&["talk.flac", "/music/a.ogg"]).unwrap(), [open, Request::Show]);
        assert!(asked(&["--start", "--stop"]).is_err());
    }
}
