//! Windows beside the main one, and what else it can be.

mod layer_shell;
pub mod overlay;
pub mod panel;

use std::path::PathBuf;
use std::time::Duration;

use gtk::glib;
use tauri::{AppHandle, Manager as _, WebviewWindow};
use webkit2gtk::{CacheModel, HardwareAccelerationPolicy, SettingsExt as _, WebContextExt as _, WebViewExt as _};

/// A page that breaks down again and again must not keep the machine busy.
const RELOAD_AFTER: Duration = Duration::from_secs(1);

/// Where WebKit keeps what it keeps for itself. Tauri insists on a folder that it can make, and a home may be read-only.
pub fn page_folder(app: &AppHandle) -> PathBuf {
    let can_be_made = |folder: &PathBuf| std::fs::create_dir_all(folder).is_ok();
    let usual = app.path().app_local_data_dir().ok().filter(can_be_made);
    usual.or_else(|| app.path().runtime_dir().ok().filter(can_be_made)).unwrap_or_else(std::env::temp_dir)
}

/// Has a window's page drawn without the graphics card, and brought back when the process that draws it breaks down or is killed.
/// What the page showed it asks for anew.
///
/// The page is text and small charts, which the card would draw no sooner; setting up a card for each page takes a second on a slow
/// one and 100 MB of memory, and with some drivers nothing is drawn at all.
///
/// # Errors
/// The window is gone.
pub fn tend(window: &WebviewWindow) -> Result<(), tauri::Error> {
    window.with_webview(|page| {
        let page = page.inner();
        if let Some(settings) = page.settings() {
            settings.set_hardware_acceleration_policy(HardwareAccelerationPolicy::Never);
        }
        // Every answer to a page is a resource for WebKit, which would keep it in case it is asked for again.
        if let Some(context) = page.context() {
            context.set_cache_model(CacheModel::DocumentViewer);
        }
        page.connect_web_process_terminated(|page, reason| {
            tracing::warn!(?reason, "the window's page broke down and is brought back");
            let page = page.clone();
            glib::timeout_add_local_once(RELOAD_AFTER, move || page.reload());
        });
    })
}
