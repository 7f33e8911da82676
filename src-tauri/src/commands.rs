//! The page's commands: one line each into the [`Desk`].

use gtk::glib;
use gtk::prelude::{FileChooserExt as _, FileExt as _, NativeDialogExtManual as _};
use tauri::ipc::Channel;
use tauri::{AppHandle, Manager as _, State, WebviewWindow};

use crate::desk::{Desk, Message};
use crate::wire::Update;

/// Begins to send everything that changes to `updates`.
#[tauri::command]
pub fn subscribe(desk: State<'_, Desk>, updates: Channel<Vec<Update>>) {
    // A page that was closed or reloaded subscribes anew and gets everything then: its failure is of no interest.
    desk.send(Message::Subscribe(Box::new(move |news| _ = updates.send(news))));
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

/// Cancels a file, or takes one that is over off the list.
#[tauri::command]
pub fn drop_file(desk: State<'_, Desk>, id: u32) {
    desk.send(Message::DropFile(id));
}

/// Puts a text on the clipboard.
#[tauri::command]
pub fn copy(desk: State<'_, Desk>, text: String) {
    desk.send(Message::Copy(text));
}

/// The user has read the notice.
#[tauri::command]
pub fn dismiss_notice(desk: State<'_, Desk>) {
    desk.send(Message::DismissNotice);
}

/// Whether the page shows what the machine does: it is not measured otherwise.
#[tauri::command]
pub fn watch_performance(desk: State<'_, Desk>, watched: bool) {
    desk.send(Message::WatchPerformance(watched));
}

/// Opens the desktop's file dialog; what is chosen there is transcribed.
#[tauri::command]
pub fn choose_files(app: AppHandle, window: WebviewWindow) -> Result<(), tauri::Error> {
    // GTK's own dialog and not a crate's: it belongs to GTK's thread, and is modal to the window.
    app.clone().run_on_main_thread(move || {
        let dialog = gtk::FileChooserNative::new(
            Some("Open recordings"),
            window.gtk_window().ok().as_ref(),
            gtk::FileChooserAction::Open,
            Some("Open"),
            Some("Cancel"),
        );
        dialog.set_select_multiple(true);
        glib::MainContext::default().spawn_local(async move {
            if dialog.run_future().await == gtk::ResponseType::Accept {
                let files = dialog.files();
                app.state::<Desk>().send(Message::Open(files.iter().filter_map(|file| file.path()).collect()));
            }
        });
    })
}
