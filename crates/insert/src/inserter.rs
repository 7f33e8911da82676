//! The ways in their order, and what is tried when one fails.

use std::collections::HashMap;

use crate::keysym::harmless;
use crate::paste::Paste;
use crate::{Desktop, InsertError, Way, WayName, wayland, x11};

/// Inserts texts, one after the other.
pub struct Inserter {
    desktop: Desktop,
    order: Vec<WayName>,
    restore_clipboard: bool,
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
    /// What is most worth telling: that a way failed says more than that another does not exist here.
    fn reason(&self) -> String {
        let exists = |(_, error): &&(WayName, InsertError)| !matches!(error, InsertError::NotHere { .. });
        match self.tried.iter().find(exists) {
            Some((_, error)) => error.to_string(),
            None => "this desktop offers no way to type into other programs; `amanuensis doctor` says why".to_owned(),
        }
    }
}

impl Inserter {
    /// Inserts on this desktop, by the ways that it has, with `first` before the others. What was on a clipboard that was
    /// used is put back, if `restore_clipboard` says so.
    pub fn new(desktop: Desktop, first: Option<WayName>, restore_clipboard: bool) -> Self {
        let others = WayName::ALL.iter().copied().filter(|&way| Some(way) != first);
        let order = first.into_iter().chain(others).collect();
        Self { desktop, order, restore_clipboard, open: HashMap::new() }
    }

    /// Puts a text at the cursor of the program that has the focus.
    ///
    /// # Errors
    /// [`NotInserted`], with what became of every way.
    pub fn insert(&mut self, text: &str) -> Result<Inserted, NotInserted> {
        let mut tried = Vec::new();
        for way in self.order.clone() {
            match self.insert_by(way, text) {
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

    /// Puts a text at the cursor by this way and no other.
    ///
    /// # Errors
    /// Why it cannot be used, or did not work.
    pub fn insert_by(&mut self, way: WayName, text: &str) -> Result<(), InsertError> {
        let mut opened = match self.open.remove(&way) {
            Some(opened) => opened,
            None => self.open(way)?,
        };
        opened.insert(&harmless(text))?;
        self.open.insert(way, opened);
        Ok(())
    }

    /// Which ways can be opened here, in their order, and why the others cannot.
    pub fn examine(&self) -> Vec<(WayName, Result<(), InsertError>)> {
        let usable = |way: &WayName| (*way, self.open(*way).map(drop));
        self.order.iter().map(usable).collect()
    }

    fn open(&self, way: WayName) -> Result<Box<dyn Way>, InsertError> {
        let desktop = &self.desktop;
        // Programs of a Wayland desktop do not see what is typed on the X server among them.
        let x11 = desktop.x11.as_deref().filter(|_| !desktop.is_wayland);
        let x11 = x11.ok_or(InsertError::NotHere { needs: "a session on X11" });
        let wayland = desktop.wayland.as_deref().filter(|_| desktop.is_wayland);
        let wayland = wayland.ok_or(InsertError::NotHere { needs: "a session on Wayland" });
        match way {
            WayName::VirtualKeyboard => Ok(Box::new(wayland::typing::Typing::open(wayland?)?)),
            WayName::XTest => Ok(Box::new(x11::typing::Typing::open(x11?)?)),
            WayName::Paste => Ok(Box::new(Paste::open(x11?, self.restore_clipboard)?)),
        }
    }
}
