//! The main window as a small panel that lies above all others, and as it was before.

use std::sync::Mutex;

use tauri::{LogicalSize, Manager as _, PhysicalSize, WebviewWindow};

/// How large the panel is, in pixels that do not depend on the scale of the screen.
const SIZE: LogicalSize<f64> = LogicalSize::new(330.0, 330.0);

/// How large the window was before it became a panel.
#[derive(Default)]
pub struct Before(Mutex<Option<PhysicalSize<u32>>>);

/// Makes a panel of the window, or a window of the panel.
///
/// # Errors
/// The window is gone.
pub fn set(window: &WebviewWindow, before: &Before, on: bool) -> Result<(), tauri::Error> {
    let Ok(mut before) = before.0.lock() else { return Ok(()) };
    window.set_always_on_top(on)?;
    if on {
        before.get_or_insert(window.inner_size()?);
        window.unmaximize()?;
        window.set_min_size(Some(SIZE))?;
        window.set_size(SIZE)
    } else {
        let config = &window.config().app.windows[0];
        window.set_min_size(
            config.min_width.zip(config.min_height).map(|(width, height)| LogicalSize::new(width, height)),
        )?;
        before.take().map_or(Ok(()), |size| window.set_size(size))
    }
}
