//! The desktop's notifications, over the session's bus.
//!
//! *Source*: <https://specifications.freedesktop.org/notification-spec/latest/>.

use std::collections::HashMap;

use zbus::blocking::Connection;
use zbus::zvariant::Value;

/// Has the desktop show a notification.
///
/// # Errors
/// Nobody shows any.
pub fn notify(summary: &str, body: &str) -> zbus::Result<()> {
    const NAME: &str = "org.freedesktop.Notifications";
    let hints = HashMap::from([("desktop-entry", Value::from("org.amanuensis.Amanuensis"))]);
    let no_actions: Vec<&str> = Vec::new();
    // It replaces none before, and stays as long as the desktop lets notifications stay.
    let content = ("Amanuensis", 0_u32, "org.amanuensis.Amanuensis", summary, plain(body), no_actions, hints, -1_i32);
    Connection::session()?.call_method(Some(NAME), "/org/freedesktop/Notifications", Some(NAME), "Notify", &content)?;
    Ok(())
}

/// The text as markup that says just it.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_is_no_markup() {
        assert_eq!(super::plain("<b> & co"), "&lt;b&gt; &amp; co");
    }
}
