//! Names the page's commands, so that the capability must list each of them, and embeds the built page.

/// Every command the page may call; the files in `capabilities` grant them one by one.
const COMMANDS: &[&str] = &[
    "updates",
    "overlay_updates",
    "watch",
    "watch_performance",
    "set_panel",
    "start",
    "stop",
    "cancel",
    "choose_microphone",
    "retry_file",
    "move_file",
    "file_language",
    "show_file",
    "edit_segment",
    "copy_file",
    "export_file",
    "file_model",
    "play",
    "stop_playing",
    "choose_files",
    "choose_folders",
    "drop_file",
    "clear_files",
    "copy",
    "dismiss_notice",
    "change_settings",
    "restore_settings",
    "import_settings",
    "export_settings",
    "copy_token",
    "look_at_history",
    "edit_entry",
    "pin_entry",
    "delete_entry",
    "delete_history",
    "restore_history",
    "transcribe_entry",
    "keep_entry",
    "watch_models",
    "download_model",
    "pause_model",
    "discard_model",
    "delete_model",
    "add_model",
    "dismiss_models",
    "test_insertion",
    "choose_watched_folder",
    "keep_key",
];

fn main() {
    // A clean clone has no built page yet; `cargo check --workspace` must work there all the same. Tauri embeds
    // whatever lies in this folder, and the folder is ignored by git. `cargo xtask run` builds the page first.
    let page = std::path::Path::new("../ui/dist");
    if !page.exists() {
        std::fs::create_dir_all(page).expect("the folder ui/dist can be made");
    }
    println!("cargo::rerun-if-changed=../ui/dist");
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest))
        .expect("tauri.conf.json and the capabilities are right");
}
