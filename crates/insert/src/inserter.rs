//! The ways in their order, and what is tried when one fails.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::keysym::harmless;
use crate::paste::Paste;
use crate::wayland::Keys;
use crate::wayland::clipboard::Clipboard;
use crate::wayland::portal::Place;
use crate::{Desktop, InsertError, Way, WayName, wayland, x11};

/// How texts are to be inserted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    /// The way that is tried before all others.
    pub first: Option<WayName>,
    /// What was on a clipboard that was used is put back.
    pub restore_clipboard: bool,
    /// The file in which the desktop's permission to type is kept. Without one it asks each time.
    pub permission: Option<PathBuf>,
}

impl Default for Manner {
    fn default() -> Self {
        Self { first: None, restore_clipboard: true, permission: None }
    }
}

/// Inserts texts, one after the other.
pub struct Inserter {
    desktop: Desktop,
    order: Vec<WayName>,
    manner: Manner,
    /// Ways that were opened before. One that failed is opened anew.
    open: HashMap<WayName, Box<dyn Way>>,
}

/// A text that is where it belongs.
#[derive(Debug)]
pub struct Inserted {
    /// How.
    pub way: WayName,
}

/// No way led anywhere. The text is still with whoever asked.
#[derive(Debug, thiserror::Error)]
#[error("the text could not be inserted: {}", self.reason())]
pub struct NotInserted {
    /// What became of each way that was tried, in order.
    pub tried: Vec<(WayName, InsertError)>,
}

impl NotInserted {
    /// What is most worth telling: that a way failed says more than that another does not exist here. None if none exists.
    pub fn worst(&self) -> Option<&InsertError> {
        self.tried.iter().map(|(_, error)| error).find(|error| !matches!(error, InsertError::NotHere { .. }))
    }

    fn reason(&self) -> String {
        match self.worst() {
            Some(error) => error.to_string(),
            None => "this desktop offers no way to type into other programs; `amanuensis doctor` says why".to_owned(),
        }
    }
}

impl Inserter {
    /// Inserts on this desktop, by the ways that it has.
    pub fn new(desktop: Desktop, manner: Manner) -> Self {
        let mut others: Vec<_> = WayName::ALL.iter().copied().filter(|&way| Some(way) != manner.first).collect();
        if desktop.is_plasma() {
            // Its portal presses the key that has the character on some layout, which need not be the one in use.
            others.sort_by_key(|&way| way == WayName::Portal);
        }
        let order = manner.first.into_iter().chain(others).collect();
        Self { desktop, order, manner, open: HashMap::new() }
    }

    /// Puts a text at the cursor of the program that has the focus. The user is asked nothing.
    ///
    /// # Errors
    /// [`NotInserted`], with what became of every way.
    pub fn insert(&mut self, text: &str) -> Result<Inserted, NotInserted> {
        let mut tried = Vec::new();
        for way in self.order.clone() {
            match self.insert_with(way, text, false) {
                Ok(()) => return Ok(Inserted { way }),
                Err(error) => {
                    tracing::info!(way = way.word(), "{error}");
                    // No other way finds what is not there, or should say twice what may yet be read.
                    let ends = matches!(error, InsertError::NoFocus | InsertError::Hangs);
                    tried.push((way, error));
                    if ends {
                        break;
                    }
                }
            }
        }
        Err(NotInserted { tried })
    }

    /// Puts a text at the cursor by this way and no other. The desktop may ask the user whether it is allowed.
    ///
    /// # Errors
    /// Why it cannot be used, or did not work.
    pub fn insert_by(&mut self, way: WayName, text: &str) -> Result<(), InsertError> {
        self.insert_with(way, text, true)
    }

    fn insert_with(&mut self, way: WayName, text: &str, may_ask: bool) -> Result<(), InsertError> {
        let mut opened = match self.open.remove(&way) {
            Some(opened) => opened,
            None => self.open(way, may_ask)?,
        };
        opened.insert(&harmless(text))?;
        self.open.insert(way, opened);
        Ok(())
    }

    /// Gets ready for texts by this way. The desktop may ask the user whether it is allowed.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn prepare(&mut self, way: WayName) -> Result<(), InsertError> {
        if !self.open.contains_key(&way) {
            self.open.insert(way, self.open(way, true)?);
        }
        Ok(())
    }

    /// All ways, in the order in which they are tried.
    pub fn ways(&self) -> &[WayName] {
        &self.order
    }

    /// Which ways can be used here, in their order, and why the others cannot.
    pub fn examine(&self) -> Vec<(WayName, Result<(), InsertError>)> {
        self.order.iter().map(|&way| (way, self.check(way))).collect()
    }

    fn check(&self, way: WayName) -> Result<(), InsertError> {
        match way {
            WayName::Portal => {
                self.wayland()?;
                self.portal().check()
            }
            WayName::Paste if self.desktop.is_wayland => {
                Clipboard::open(self.wayland()?)?;
                let keyboard = wayland::typing::Typing::open(self.wayland()?).map(drop);
                keyboard.or_else(|_| self.portal().check())
            }
            _ => self.open(way, false).map(drop),
        }
    }

    fn open(&self, way: WayName, may_ask: bool) -> Result<Box<dyn Way>, InsertError> {
        match way {
            WayName::VirtualKeyboard => Ok(Box::new(wayland::typing::Typing::open(self.wayland()?)?)),
            WayName::XTest => Ok(Box::new(x11::typing::Typing::open(self.x11()?)?)),
            WayName::Portal => {
                self.wayland()?;
                Ok(Box::new(self.portal().open(may_ask)?))
            }
            WayName::Paste if self.desktop.is_wayland => {
                let clipboard = Clipboard::open(self.wayland()?)?;
                let keys: Box<dyn Keys> = match wayland::typing::Typing::open(self.wayland()?) {
                    Ok(keyboard) => Box::new(keyboard),
                    Err(_) => Box::new(self.portal().open(may_ask)?),
                };
                Ok(self.pasting(clipboard, keys))
            }
            WayName::Paste => Ok(Box::new(Paste::open(self.x11()?, self.manner.restore_clipboard)?)),
            WayName::Ydotool => {
                let socket = self.wayland()?;
                let daemon = self.desktop.ydotool.as_deref();
                let daemon =
                    daemon.ok_or(InsertError::NotHere { needs: "ydotoold 1.0 or newer, running for this user" })?;
                let keys = Box::new(wayland::ydotool::Ydotool::open(daemon)?);
                match (Clipboard::open(socket), &self.desktop.x11) {
                    (Ok(clipboard), _) => Ok(self.pasting(clipboard, keys)),
                    // GNOME keeps the clipboard of the X server among its windows and its own the same.
                    (Err(_), Some(display)) => {
                        let (clipboard, restore) =
                            (x11::clipboard::Clipboard::open(display)?, self.manner.restore_clipboard);
                        Ok(Box::new(wayland::paste::Paste::new(clipboard, true, keys, restore)))
                    }
                    (Err(error), None) => Err(error),
                }
            }
        }
    }

    fn pasting(&self, clipboard: Clipboard, keys: Box<dyn Keys>) -> Box<dyn Way> {
        let has_primary = clipboard.has_primary();
        Box::new(wayland::paste::Paste::new(clipboard, has_primary, keys, self.manner.restore_clipboard))
    }

    fn portal(&self) -> Place {
        Place { bus: self.desktop.bus.clone(), token: self.manner.permission.clone() }
    }

    /// The X server. Programs of a Wayland desktop do not see what is typed on the one among them.
    fn x11(&self) -> Result<&str, InsertError> {
        let x11 = self.desktop.x11.as_deref().filter(|_| !self.desktop.is_wayland);
        x11.ok_or(InsertError::NotHere { needs: "a session on X11" })
    }

    fn wayland(&self) -> Result<&std::path::Path, InsertError> {
        let wayland = self.desktop.wayland.as_deref().filter(|_| self.desktop.is_wayland);
        wayland.ok_or(InsertError::NotHere { needs: "a session on Wayland" })
    }
}

#[cfg(test)]
mod tests {
    use super::{Desktop, Inserter, Manner, WayName};

    #[test]
    fn what_was_chosen_comes_first_and_plasmas_portal_last() {
        let order = |name: &str, first| {
            let desktop = Desktop { name: name.to_owned(), is_wayland: true, ..Desktop::default() };
            Inserter::new(desktop, Manner { first, ..Manner::default() }).ways().to_vec()
        };
        assert_eq!(order("ubuntu:GNOME", None), WayName::ALL);
        assert_eq!(order("KDE", None).last(), Some(&WayName::Portal));
        assert_eq!(order("KDE", Some(WayName::Portal))[..2], [WayName::Portal, WayName::VirtualKeyboard]);
        assert_eq!(order("sway", Some(WayName::Ydotool)).len(), WayName::ALL.len());
    }
}
