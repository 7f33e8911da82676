//! The page's commands: one line each into the [`Desk`].

pub mod files;
pub mod history;

use std::path::PathBuf;
use std::time::Duration;

use amanuensis_settings::Settings;
use gtk::glib;
use gtk::prelude::{FileChooserExt as _, FileExt as _, NativeDialogExtManual as _};
use tauri::{AppHandle, Manager as _, State, WebviewWindow};
use tokio::sync::oneshot;

use crate::desk::{Desk, Listen, Message, ModelOrder, Order};
use crate::windows::panel;
use crate::wire::{Overlay, Played, Update};

/// Answers once there is something new: to the first question of a page, with everything. Pages ask, and are not told unasked,
/// because WebKit keeps every script that is run in a page, and what is sent into one is such a script.
///
/// *Errors*: another page asked, or the app ends.
#[tauri::command]
pub async fn updates(desk: State<'_, Desk>, first: bool) -> Result<Vec<Update>, ()> {
    let (answer, answered) = oneshot::channel();
    desk.send(Message::Ask { first, page: Box::new(move |news| _ = answer.send(news)) });
    answered.await.map_err(drop)
}

/// Answers the overlay's page once it has something new to show.
///
/// *Errors*: another page asked, or the app ends.
#[tauri::command]
pub async fn overlay_updates(desk: State<'_, Desk>, first: bool) -> Result<Overlay, ()> {
    let (answer, answered) = oneshot::channel();
    desk.send(Message::AskOverlay { first, page: Box::new(move |shown| _ = answer.send(shown)) });
    answered.await.map_err(drop)
}

/// Whether the page can be seen: nothing is sent to one that cannot.
#[tauri::command]
pub fn watch(desk: State<'_, Desk>, visible: bool) {
    desk.send(Message::Visible(visible));
}

/// Begins a dictation.
#[tauri::command]
pub fn start(desk: State<'_, Desk>) {
    desk.send(Message::Start);
}

/// Ends the dictation; what was said is written out.
#[tauri::command]
pub fn stop(desk: State<'_, Desk>) {
    desk.send(Message::Stop);
}

/// Throws the dictation away.
#[tauri::command]
pub fn cancel(desk: State<'_, Desk>) {
    desk.send(Message::Cancel);
}

/// Records from this microphone; from the system's default one, if none is named.
#[tauri::command]
pub fn choose_microphone(desk: State<'_, Desk>, id: Option<String>) {
    desk.send(Message::ChooseMicrophone(id));
}

/// Puts a text on the clipboard.
#[tauri::command]
pub fn copy(desk: State<'_, Desk>, text: String) {
    desk.send(Message::Copy(text));
}

/// The user has read the notice.
#[tauri::command]
pub fn dismiss_notice(desk: State<'_, Desk>, id: u32) {
    desk.send(Message::DismissNotice(id));
}

/// Plays a recording from here on.
#[tauri::command]
pub fn play(desk: State<'_, Desk>, of: Played, from_ms: u32) {
    desk.send(Message::Listen(Listen::Play(of, Duration::from_millis(from_ms.into()))));
}

/// Plays nothing any more.
#[tauri::command]
pub fn stop_playing(desk: State<'_, Desk>) {
    desk.send(Message::Listen(Listen::Silence));
}

/// Whether the page shows what the machine does: it is not measured otherwise.
#[tauri::command]
pub fn watch_performance(desk: State<'_, Desk>, watched: bool) {
    desk.send(Message::WatchPerformance(watched));
}

/// Makes the window a small panel above all others, or what it was before.
#[tauri::command]
pub fn set_panel(window: WebviewWindow, before: State<'_, panel::Before>, on: bool) -> Result<(), tauri::Error> {
    panel::set(&window, &before, on)
}

/// These are the settings from now on. Changes are numbered: what the page is told of settings says which of them it knows.
#[tauri::command]
pub fn change_settings(desk: State<'_, Desk>, settings: Settings, change: u32) {
    desk.send(Message::Settings(Order::Change(Box::new(settings), change)));
}

/// All settings are as at the beginning.
#[tauri::command]
pub fn restore_settings(desk: State<'_, Desk>) {
    desk.send(Message::Settings(Order::Restore));
}

/// Keeps the language model's key where nobody else may read it; an empty one is none.
#[tauri::command]
pub fn keep_key(desk: State<'_, Desk>, key: String) {
    desk.send(Message::Settings(Order::Key(key)));
}

/// Puts the local API's token on the clipboard.
#[tauri::command]
pub fn copy_token(desk: State<'_, Desk>) {
    desk.send(Message::Settings(Order::CopyToken));
}

/// Whether the page shows the models.
#[tauri::command]
pub fn watch_models(desk: State<'_, Desk>, watched: bool) {
    desk.send(Message::Models(ModelOrder::Watch(watched)));
}

/// Begins a download, or goes on with one.
#[tauri::command]
pub fn download_model(desk: State<'_, Desk>, name: String) {
    desk.send(Message::Models(ModelOrder::Download(name)));
}

/// Ends a download; what is here is kept.
#[tauri::command]
pub fn pause_model(desk: State<'_, Desk>, name: String) {
    desk.send(Message::Models(ModelOrder::Pause(name)));
}

/// Ends a download; what is here is thrown away.
#[tauri::command]
pub fn discard_model(desk: State<'_, Desk>, name: String) {
    desk.send(Message::Models(ModelOrder::Discard(name)));
}

/// Deletes a model of the user's.
#[tauri::command]
pub fn delete_model(desk: State<'_, Desk>, name: String) {
    desk.send(Message::Models(ModelOrder::Delete(name)));
}

/// Opens the desktop's file dialog; the model that is chosen there is added.
#[tauri::command]
pub fn add_model(app: AppHandle, window: WebviewWindow, title: String) -> Result<(), tauri::Error> {
    ask_for_files(&app, window, title, Asked::One, |files| {
        Some(Message::Models(ModelOrder::Add(files.into_iter().next()?)))
    })
}

/// The user has read what went wrong with a model.
#[tauri::command]
pub fn dismiss_models(desk: State<'_, Desk>) {
    desk.send(Message::Models(ModelOrder::Dismiss));
}

/// Opens the desktop's file dialog; the settings in what is chosen there are taken.
#[tauri::command]
pub fn import_settings(app: AppHandle, window: WebviewWindow, title: String) -> Result<(), tauri::Error> {
    ask_for_files(&app, window, title, Asked::One, |files| {
        Some(Message::Settings(Order::Import(files.into_iter().next()?)))
    })
}

/// Opens the desktop's file dialog; the settings are written where is chosen.
#[tauri::command]
pub fn export_settings(app: AppHandle, window: WebviewWindow, title: String) -> Result<(), tauri::Error> {
    ask_for_files(&app, window, title, Asked::New("amanuensis-settings.json".to_owned(), None), |files| {
        Some(Message::Settings(Order::Export(files.into_iter().next()?)))
    })
}

/// Opens the desktop's dialog for folders; the one that is chosen there is watched.
#[tauri::command]
pub fn choose_watched_folder(app: AppHandle, window: WebviewWindow, title: String) -> Result<(), tauri::Error> {
    ask_for_files(&app, window, title, Asked::Folder, |folders| {
        Some(Message::Settings(Order::WatchFolder(folders.into_iter().next()?)))
    })
}

/// What a dialog is to give.
enum Asked {
    Several,
    /// Folders, several of them.
    Folders,
    Folder,
    One,
    /// One to be written, with the name that is proposed, and the folder if it is known.
    New(String, Option<PathBuf>),
}

/// Opens the desktop's file dialog, and hands what is chosen to the desk.
fn ask_for_files(
    app: &AppHandle,
    window: WebviewWindow,
    title: String,
    asked: Asked,
    message: impl FnOnce(Vec<PathBuf>) -> Option<Message> + Send + 'static,
) -> Result<(), tauri::Error> {
    // GTK's own dialog and not a crate's: it belongs to GTK's thread, and is modal to the window.
    let desk = app.clone();
    app.run_on_main_thread(move || {
        let action = match asked {
            Asked::Several | Asked::One => gtk::FileChooserAction::Open,
            Asked::Folders | Asked::Folder => gtk::FileChooserAction::SelectFolder,
            Asked::New(..) => gtk::FileChooserAction::Save,
        };
        // Without names of their own the buttons have those of GTK, in the system's language.
        let dialog = gtk::FileChooserNative::new(Some(&title), window.gtk_window().ok().as_ref(), action, None, None);
        dialog.set_select_multiple(matches!(asked, Asked::Several | Asked::Folders));
        if let Asked::New(name, folder) = asked {
            dialog.set_current_name(&name);
            if let Some(folder) = folder {
                dialog.set_current_folder(folder);
            }
            dialog.set_do_overwrite_confirmation(true);
        }
        glib::MainContext::default().spawn_local(async move {
            if dialog.run_future().await == gtk::ResponseType::Accept {
                let files = dialog.files().iter().filter_map(|file| file.path()).collect();
                if let Some(message) = message(files) {
                    desk.state::<Desk>().send(message);
                }
            }
        });
    })
}

/// Finds out which ways of putting text into other programs work here.
#[tauri::command]
pub fn test_insertion(desk: State<'_, Desk>) {
    desk.send(Message::TestInsertion);
}
