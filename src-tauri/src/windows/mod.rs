//! Windows beside the main one, and what else it can be.

mod layer_shell;
pub mod overlay;
pub mod panel;

use std::path::PathBuf;

use tauri::{AppHandle, Manager as _};

/// Where WebKit keeps what it keeps for itself. Tauri insists on a folder that it can make, and a home may be read-only.
pub fn page_folder(app: &AppHandle) -> PathBuf {
    let can_be_made = |folder: &PathBuf| std::fs::create_dir_all(folder).is_ok();
    let usual = app.path().app_local_data_dir().ok().filter(can_be_made);
    usual.or_else(|| app.path().runtime_dir().ok().filter(can_be_made)).unwrap_or_else(std::env::temp_dir)
}
