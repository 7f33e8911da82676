//! Windows beside the main one, and what else it can be.

mod layer_shell;
pub mod overlay;
pub mod panel;

use std::path::PathBuf;
use std::time::Duration;

use gtk::glib;
use tauri::{AppHandle, Manager as _, WebviewWindow};
use webkit2gtk::WebViewExt as _;

/// A page that breaks down again and again must not keep the machine busy.
const RELOAD_AFTER: Duration = Duration::from_secs(1);

/// Where WebKit keeps what it keeps for itself. Tauri insists on a folder that it can make, and a home may be read-only.
pub fn page_folder(app: &AppHandle) -> PathBuf {
    let can_be_made = |folder: &PathBuf| std::fs::create_dir_all(folder).is_ok();
    let usual = app.path().app_local_data_dir().ok().filter(can_be_made);
    usual.or_else(|| app.path().runtime_dir().ok().filter(can_be_made)).unwrap_or_else(std::env::temp_dir)
}

/// Has pages drawn without the graphics card, unless the user says otherwise. It must be said before the first one is made: a page that
/// is told of it later is told of no frame either.
///
/// A page is text and small charts, which the card would draw no sooner; setting up a card for each takes a second on a slow one and
/// 100 MB of memory, and with some drivers nothing is drawn at all.
pub fn spare_the_graphics_card() {
    // It fails for names with a `=` only.
    let _ = glib::setenv("WEBKIT_DISABLE_COMPOSITING_MODE", "1", false);
}

/// Brings a window's page back when the process that draws it breaks down or is killed. What the page showed it asks for anew.
///
/// # Errors
/// The window is gone.
pub fn revive(window: &WebviewWindow) -> Result<(), tauri::Error> {
    window.with_webview(|page| {
        page.inner().connect_web_process_terminated(|page, reason| {
            tracing::warn!(?reason, "the window's page broke down and is brought back");
            let page = page.clone();
            glib::timeout_add_local_once(RELOAD_AFTER, move || page.reload());
        });
    })
}
