//! The tray: what the app is doing, and what can be asked of it while its window is closed.
//!
//! It is a StatusNotifierItem on the session's bus. Where nobody shows such, the app lives without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender};
use ksni::blocking::{Handle, TrayMethods as _};
use ksni::menu::{MenuItem, StandardItem};
use ksni::{Category, Icon, OfflineReason, ToolTip};
use tauri::image::Image;
use tauri::include_image;

use crate::words::Words;

/// What the app is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Nothing.
    Nothing,
    /// It waits for speech, without hands.
    Listening,
    /// It records.
    Recording,
    /// It writes out what was recorded.
    Writing,
}

/// What was chosen in the tray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Begin a dictation, or end it.
    Toggle,
    /// Show the window.
    Show,
    /// End the app.
    Quit,
}

/// What the tray shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// What the app is doing.
    pub doing: Doing,
    /// In which language it is said.
    pub words: &'static Words,
}

/// The tray's icon, as far as there is anybody who shows it.
pub struct Tray {
    faces: Sender<Option<Face>>,
    hosted: Arc<AtomicBool>,
}

impl Tray {
    /// Starts a thread for it: a bus may take its time. `act` is called on another thread.
    pub fn start(act: impl Fn(Choice) + Clone + Send + 'static) -> Self {
        let (faces, wanted) = crossbeam_channel::unbounded();
        let hosted = Arc::new(AtomicBool::new(false));
        let shown = Arc::clone(&hosted);
        let work = move || serve(&wanted, &shown, &act);
        // It is not waited for: the bus may hang, and the icon vanishes with the process.
        std::thread::Builder::new().name("tray".into()).spawn(work).expect("BUG: few threads are running");
        Self { faces, hosted }
    }

    /// Shows this from now on, or nothing.
    pub fn show(&self, face: Option<Face>) {
        // The thread ends with this value.
        let _ = self.faces.send(face);
    }

    /// Whether somebody shows it.
    pub fn is_hosted(&self) -> bool {
        self.hosted.load(Ordering::Relaxed)
    }
}

fn serve<A: Fn(Choice) + Clone + Send + 'static>(wanted: &Receiver<Option<Face>>, hosted: &Arc<AtomicBool>, act: &A) {
    let mut item: Option<Handle<Item<A>>> = None;
    for face in wanted {
        match (face, &item) {
            (Some(face), Some(there)) => {
                there.update(|item| item.face = face);
            }
            (Some(face), None) => {
                let fresh = || Item { face, hosted: Arc::clone(hosted), act: act.clone() };
                let shown = fresh().spawn();
                hosted.store(shown.is_ok(), Ordering::Relaxed);
                // Where nobody is there to show it, it waits for somebody.
                match shown.or_else(|_| fresh().assume_sni_available(true).spawn()) {
                    Ok(handle) => item = Some(handle),
                    Err(error) => tracing::info!("there is no tray: {error}"),
                }
            }
            (None, Some(there)) => {
                there.shutdown().wait();
                hosted.store(false, Ordering::Relaxed);
                item = None;
            }
            (None, None) => {}
        }
    }
}

struct Item<A> {
    face: Face,
    hosted: Arc<AtomicBool>,
    act: A,
}

impl<A: Fn(Choice) + Clone + Send + 'static> Item<A> {
    fn status(&self) -> &'static str {
        let words = self.face.words;
        match self.face.doing {
            Doing::Nothing => words.ready,
            Doing::Listening => words.listening,
            Doing::Recording => words.recording,
            Doing::Writing => words.writing,
        }
    }

    fn entry(label: &str, choice: Choice) -> MenuItem<Self> {
        StandardItem {
            label: label.to_owned(),
            activate: Box::new(move |item: &mut Self| (item.act)(choice)),
            ..StandardItem::default()
        }
        .into()
    }
}

impl<A: Fn(Choice) + Clone + Send + 'static> ksni::Tray for Item<A> {
    fn id(&self) -> String {
        "org.amanuensis.Amanuensis".to_owned()
    }

    fn category(&self) -> Category {
        Category::ApplicationStatus
    }

    fn title(&self) -> String {
        "Amanuensis".to_owned()
    }

    fn icon_pixmap(&self) -> Vec<Icon> {
        vec![icon(match self.face.doing {
            Doing::Nothing => include_image!("../icons/tray/idle.png"),
            Doing::Listening => include_image!("../icons/tray/listening.png"),
            Doing::Recording => include_image!("../icons/tray/recording.png"),
            Doing::Writing => include_image!("../icons/tray/writing.png"),
        })]
    }

    fn tool_tip(&self) -> ToolTip {
        ToolTip { title: "Amanuensis".to_owned(), description: self.status().to_owned(), ..ToolTip::default() }
    }

    fn activate(&mut self, _x: i32, _y: i32) {
        (self.act)(Choice::Show);
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        let words = self.face.words;
        let toggle = if self.face.doing == Doing::Recording { words.stop } else { words.start };
        let status = StandardItem { label: self.status().to_owned(), enabled: false, ..StandardItem::default() };
        vec![
            status.into(),
            MenuItem::Separator,
            Self::entry(toggle, Choice::Toggle),
            Self::entry(words.show, Choice::Show),
            Self::entry(words.quit, Choice::Quit),
        ]
    }

    fn watcher_online(&self) {
        self.hosted.store(true, Ordering::Relaxed);
    }

    fn watcher_offline(&self, _: OfflineReason) -> bool {
        self.hosted.store(false, Ordering::Relaxed);
        true
    }
}

/// A picture in the byte order of the bus: alpha first.
fn icon(image: Image<'_>) -> Icon {
    let data = image.rgba().chunks_exact(4).flat_map(|pixel| [pixel[3], pixel[0], pixel[1], pixel[2]]).collect();
    let side = |pixels: u32| i32::try_from(pixels).expect("BUG: our icons are small");
    Icon { width: side(image.width()), height: side(image.height()), data }
}
