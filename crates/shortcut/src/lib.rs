//! One combination of keys that is heard whatever program has the focus.
//!
//! X11 lends a combination to one program. On Wayland the desktop decides: some have a portal for it, and the others have
//! key bindings of their own, which start `amanuensis toggle`; [`bindings`] has the lines. Keyboards themselves are never
//! read: that would take rights over everything that is typed.

pub mod bindings;
mod keys;
mod portal;
mod x11;

pub use keys::Keys;

/// Where keys are listened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The X server of this name, as in `DISPLAY`.
    X11(String),
    /// The desktop's portal.
    Portal {
        /// The address of its bus; the session's, if there is none.
        bus: Option<String>,
        /// What the keys are for, as the desktop shows it when it asks for consent.
        description: String,
    },
}

/// What happened to the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// They were pressed. Told once, however long they are held.
    Pressed,
    /// They were let go of.
    Released,
}

/// Why keys cannot be listened for.
#[derive(Debug, thiserror::Error)]
pub enum ShortcutError {
    /// The combination cannot be read.
    #[error("\u{201c}{0}\u{201d} is no combination of keys; write one like Ctrl+Alt+Space, Super+D or F9")]
    UnknownKeys(String),
    /// The key types something.
    #[error("\u{201c}{0}\u{201d} types a character; hold Ctrl, Alt or Super with it")]
    NoModifier(String),
    /// The keyboard has no such key.
    #[error("no key of this keyboard is meant by {0}; choose another shortcut")]
    NoSuchKey(Keys),
    /// Another program has it.
    #[error("another program has the shortcut {0} already; choose another one, or free it there")]
    Taken(Keys),
    /// The display cannot be reached.
    #[error("the display cannot be reached: {0}; start Amanuensis from a desktop session")]
    Display(String),
    /// The desktop has no portal for shortcuts, or it refused.
    #[error(
        "this desktop gives programs no shortcuts ({0}); bind a key to `amanuensis toggle` in its settings, as `amanuensis doctor` writes it out"
    )]
    Portal(String),
}

/// Listens as long as it lives.
#[derive(Debug)]
pub struct Shortcut(#[expect(dead_code, reason = "held until the end")] Listening);

#[derive(Debug)]
enum Listening {
    X11(#[expect(dead_code, reason = "ends the thread when dropped")] x11::Grab),
    Portal(#[expect(dead_code, reason = "ends the thread when dropped")] portal::Binding),
}

impl Shortcut {
    /// Begins to listen, and calls `tell` on a thread of its own.
    ///
    /// # Errors
    /// [`ShortcutError`]. Where the desktop asks the user for consent, this waits for the answer.
    pub fn listen(
        source: &Source,
        keys: &Keys,
        tell: impl FnMut(Edge) + Send + 'static,
    ) -> Result<Self, ShortcutError> {
        Ok(Self(match source {
            Source::X11(display) => Listening::X11(x11::Grab::take(display, keys, tell)?),
            Source::Portal { bus, description } => {
                Listening::Portal(portal::Binding::make(bus.clone(), description.clone(), keys, tell)?)
            }
        }))
    }
}
