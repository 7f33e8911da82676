//! The overlay's window: above all others, near the bottom of the screen, and never with the focus.

use gtk::gdk;
use gtk::prelude::{DeviceExt as _, GtkWindowExt as _, MonitorExt as _, SeatExt as _};
use tauri::{AppHandle, Manager as _, WebviewUrl, WebviewWindow, WebviewWindowBuilder};

use super::layer_shell;
use crate::MAIN;
use crate::desk::Curtain;

/// Its name among the windows; `capabilities/overlay.json` has what it may do.
pub const LABEL: &str = "overlay";
/// How large it is, in pixels that do not depend on the scale of the screen.
const SIZE: (f64, f64) = (520.0, 132.0);
/// How far it is from the bottom, or from a panel there.
const GAP: i32 = 48;

/// Does what the desk wants with the window. GTK belongs to the main thread, where this must be called.
pub fn draw(app: &AppHandle, curtain: Curtain) {
    let window = app.get_webview_window(LABEL);
    let drawn = match (curtain, window) {
        (Curtain::Make, None) => begin(app),
        (Curtain::Open, Some(window)) => window.show().and_then(|()| place(&window)),
        (Curtain::Close, Some(window)) => window.hide(),
        (Curtain::Make, Some(_)) | (Curtain::Open | Curtain::Close, None) => Ok(()),
    };
    if let Err(error) = drawn {
        tracing::warn!("the overlay cannot be shown: {error}");
    }
}

/// Makes the window, drawn by the process that draws the main one: it comes at once, and costs no process of its own.
fn begin(app: &AppHandle) -> Result<(), tauri::Error> {
    let Some(main) = app.get_webview_window(MAIN) else { return Ok(()) };
    let app = app.clone();
    main.with_webview(move |page| {
        if let Err(error) = make(&app, page.inner()) {
            tracing::warn!("there will be no overlay: {error}");
        }
    })
}

fn make(app: &AppHandle, main: webkit2gtk::WebView) -> Result<(), tauri::Error> {
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App("overlay.html".into()))
        .title("Amanuensis: dictation")
        .inner_size(SIZE.0, SIZE.1)
        .decorations(false)
        .always_on_top(true)
        .visible_on_all_workspaces(true)
        .skip_taskbar(true)
        .focused(false)
        .focusable(false)
        .visible(false)
        .data_directory(super::page_folder(app))
        .with_related_view(main)
        .build()?;
    super::revive(&window)?;
    let gtk = window.gtk_window()?;
    gtk.set_accept_focus(false);
    gtk.set_focus_on_map(false);
    gtk.set_skip_pager_hint(true);
    gtk.set_type_hint(gdk::WindowTypeHint::Notification);
    layer_shell::lay_over_everything(&gtk, GAP);
    Ok(())
}

/// In the middle of the screen that the pointer is on, above what is at its bottom. A compositor of Wayland places it itself.
fn place(window: &WebviewWindow) -> Result<(), tauri::Error> {
    let gtk = window.gtk_window()?;
    let Some(display) = gdk::Display::default() else { return Ok(()) };
    let pointer = display.default_seat().and_then(|seat| seat.pointer());
    let under_pointer = pointer.and_then(|pointer| {
        let (_, x, y) = pointer.position();
        display.monitor_at_point(x, y)
    });
    if let Some(monitor) = under_pointer.or_else(|| display.primary_monitor()) {
        let area = monitor.workarea();
        let (width, height) = gtk.size();
        gtk.move_(area.x() + (area.width() - width) / 2, area.y() + area.height() - height - GAP);
    }
    Ok(())
}
