//! Wayland's layer shell: a window that lies over all others, where the compositor says how. GTK 3 knows it by
//! libgtk-layer-shell, which is loaded where there is one and never required.
//!
//! *Source*: <https://wmww.github.io/gtk-layer-shell/>, version 0.6 and later.

#![allow(unsafe_code, reason = "no binding of the library loads it at run time")]

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;

use gtk::gdk::prelude::DisplayExtManual as _;
use gtk::glib::translate::ToGlibPtr as _;
use gtk::prelude::{Cast as _, WidgetExt as _};
use libloading::Library;

type Window = *mut gtk::ffi::GtkWindow;

/// `GTK_LAYER_SHELL_LAYER_OVERLAY`.
const OVERLAY: c_int = 3;
/// `GTK_LAYER_SHELL_EDGE_BOTTOM`.
const BOTTOM: c_int = 3;
/// `GTK_LAYER_SHELL_KEYBOARD_MODE_NONE`.
const NO_KEYBOARD: c_int = 0;

/// What is used of the library.
struct Functions {
    is_supported: unsafe extern "C" fn() -> c_int,
    init_for_window: unsafe extern "C" fn(Window),
    set_namespace: unsafe extern "C" fn(Window, *const c_char),
    set_layer: unsafe extern "C" fn(Window, c_int),
    set_anchor: unsafe extern "C" fn(Window, c_int, c_int),
    set_margin: unsafe extern "C" fn(Window, c_int, c_int),
    set_keyboard_mode: unsafe extern "C" fn(Window, c_int),
}

/// Lays a window that was not shown yet over all others, `gap` pixels above the bottom of the screen and without the
/// keyboard. Where that is not possible, it stays a window as any other.
pub fn lay_over_everything(window: &gtk::ApplicationWindow, gap: c_int) {
    if !window.display().backend().is_wayland() {
        return;
    }
    let Some(functions) = functions() else { return };
    let window: Window = window.upcast_ref::<gtk::Window>().to_glib_none().0;
    // SAFETY: this is GTK's thread, for a window lives on no other, and GTK is up. The window is alive for the whole call,
    // and the strings and numbers are of the library's types.
    unsafe {
        if (functions.is_supported)() == 0 {
            return;
        }
        (functions.init_for_window)(window);
        (functions.set_namespace)(window, c"amanuensis-overlay".as_ptr());
        (functions.set_layer)(window, OVERLAY);
        (functions.set_anchor)(window, BOTTOM, 1);
        (functions.set_margin)(window, BOTTOM, gap);
        (functions.set_keyboard_mode)(window, NO_KEYBOARD);
    }
}

/// The library's functions; none where there is no library, or an old one.
fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    FUNCTIONS.get_or_init(|| load().inspect_err(|error| tracing::info!("no layer shell: {error}")).ok()).as_ref()
}

fn load() -> Result<Functions, libloading::Error> {
    // SAFETY: the library's constructors do nothing but register types with GLib.
    let library = unsafe { Library::new("libgtk-layer-shell.so.0")? };
    // GTK keeps what the library gave it: it stays loaded for as long as the process runs.
    let library: &'static Library = Box::leak(Box::new(library));
    // SAFETY: the types are those of the library's header, and the library is never unloaded.
    unsafe {
        Ok(Functions {
            is_supported: *library.get(b"gtk_layer_is_supported")?,
            init_for_window: *library.get(b"gtk_layer_init_for_window")?,
            set_namespace: *library.get(b"gtk_layer_set_namespace")?,
            set_layer: *library.get(b"gtk_layer_set_layer")?,
            set_anchor: *library.get(b"gtk_layer_set_anchor")?,
            set_margin: *library.get(b"gtk_layer_set_margin")?,
            set_keyboard_mode: *library.get(b"gtk_layer_set_keyboard_mode")?,
        })
    }
}
