//! The clipboard of a compositor that lets a program without a window have it: what is on it is kept, a text lent to the
//! program in front, and that text seen to be fetched.
//!
//! *Source*: wlr-data-control-unstable-v1,
//! <https://gitlab.freedesktop.org/wlroots/wlr-protocols/-/blob/master/unstable/wlr-data-control-unstable-v1.xml>.

use std::io::{Read as _, Write as _, pipe};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use wayland_client::backend::ObjectId;
use wayland_client::globals::{BindError, GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_registry::WlRegistry;
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, Dispatch, Proxy as _, QueueHandle, delegate_noop, event_created_child};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_device_v1::{
    EVT_DATA_OFFER_OPCODE, Event as DeviceEvent, ZwlrDataControlDeviceV1,
};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_manager_v1::ZwlrDataControlManagerV1;
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_offer_v1::{
    Event as OfferEvent, ZwlrDataControlOfferV1,
};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_source_v1::{
    Event as SourceEvent, ZwlrDataControlSourceV1,
};

use super::display;
use crate::InsertError;
use crate::paste::{Board, Selection};

/// How long it may take to copy what another program has on the clipboard.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a compositor may take to answer. It bounds a hang.
const ANSWER: Duration = Duration::from_secs(5);
/// From this version on it knows of what was marked last.
const WITH_PRIMARY: u32 = 2;
/// The names under which a text is offered.
const TEXT: [&str; 5] = ["text/plain;charset=utf-8", "text/plain", "UTF8_STRING", "STRING", "TEXT"];
/// Programs that keep a history of the clipboard leave out what says this.
const SECRET: &str = "x-kde-passwordManagerHint";

/// All that is on a clipboard, by the names of formats.
type Contents = Arc<Vec<(String, Vec<u8>)>>;

/// Has things on the clipboards as long as it lives.
pub struct Clipboard {
    connection: Connection,
    handle: QueueHandle<State>,
    manager: ZwlrDataControlManagerV1,
    device: ZwlrDataControlDeviceV1,
    shared: Arc<Shared>,
    /// A text was fetched.
    fetches: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    places: Mutex<Places>,
    ends: AtomicBool,
}

#[derive(Default)]
struct Places {
    clipboard: Place,
    primary: Place,
}

#[derive(Default)]
struct Place {
    /// What there is, whosever it is.
    offer: Option<ZwlrDataControlOfferV1>,
    /// What is there of ours.
    own: Option<(ZwlrDataControlSourceV1, Contents)>,
}

/// The names of an offer's formats, as they are told.
type Formats = Mutex<Vec<String>>;

/// What goes with a thing of ours on a clipboard.
struct Lent {
    contents: Contents,
    /// It is a text for the program in front, not what was there before.
    is_text: bool,
}

/// What the thread knows.
struct State {
    shared: Arc<Shared>,
    fetched: Sender<()>,
}

impl Clipboard {
    pub fn open(socket: &Path) -> Result<Self, InsertError> {
        let connection = Connection::from_socket(UnixStream::connect(socket).map_err(display)?).map_err(display)?;
        let (globals, mut queue) = registry_queue_init::<State>(&connection).map_err(display)?;
        let handle = queue.handle();
        let missing = |_: BindError| InsertError::NotHere {
            needs: "a compositor that lets programs without a window have the clipboard, like Sway's or Plasma's",
        };
        let manager: ZwlrDataControlManagerV1 = globals.bind(&handle, 1..=WITH_PRIMARY, ()).map_err(missing)?;
        let seat: WlSeat = globals.bind(&handle, 1..=1, ()).map_err(missing)?;
        let device = manager.get_data_device(&seat, &handle, ());
        let shared = Arc::new(Shared::default());
        // More fetches than these are of no interest.
        let (fetched, fetches) = crossbeam_channel::bounded(64);
        let mut state = State { shared: Arc::clone(&shared), fetched };
        let serve = move || {
            while !state.shared.ends.load(Ordering::Acquire) {
                // Without the display there is no clipboard.
                if queue.blocking_dispatch(&mut state).is_err() {
                    break;
                }
            }
        };
        let thread =
            std::thread::Builder::new().name("clipboard".into()).spawn(serve).expect("BUG: few threads are running");
        let clipboard = Self { connection, handle, manager, device, shared, fetches, thread: Some(thread) };
        // What is on the clipboards is told first.
        clipboard.sync()?;
        Ok(clipboard)
    }

    /// Whether what was marked last can be set.
    pub fn has_primary(&self) -> bool {
        self.manager.version() >= WITH_PRIMARY
    }

    fn put(&self, selection: Selection, contents: Contents, is_text: bool) -> Result<(), InsertError> {
        let lent = Lent { contents: Arc::clone(&contents), is_text };
        let source = self.manager.create_data_source(&self.handle, lent);
        contents.iter().for_each(|(format, _)| source.offer(format.clone()));
        let before = self.shared.places().of(selection).own.replace((source.clone(), contents));
        self.set(selection, Some(&source));
        if let Some((before, _)) = before {
            before.destroy();
        }
        self.sync()
    }

    fn set(&self, selection: Selection, source: Option<&ZwlrDataControlSourceV1>) {
        match selection {
            Selection::Clipboard => self.device.set_selection(source),
            Selection::Primary => self.device.set_primary_selection(source),
        }
    }

    /// An offer in this format. `None` if it takes too long.
    fn fetch(
        &self,
        offer: &ZwlrDataControlOfferV1,
        format: &str,
        until: Instant,
    ) -> Result<Option<Vec<u8>>, InsertError> {
        let (mut reader, writer) = pipe().map_err(display)?;
        offer.receive(format.to_owned(), writer.as_fd());
        self.connection.flush().map_err(display)?;
        drop(writer);
        let (done, bytes) = crossbeam_channel::bounded(1);
        let read = move || {
            let mut bytes = Vec::new();
            // Nobody waits for it any more if it took too long.
            let _ = done.send(reader.read_to_end(&mut bytes).map(|_| bytes));
        };
        std::thread::Builder::new().name("clipboard read".into()).spawn(read).map_err(display)?;
        Ok(bytes.recv_deadline(until).ok().and_then(Result::ok))
    }

    /// Returns when the compositor has done all it was asked for, and the thread has taken what was told before.
    fn sync(&self) -> Result<(), InsertError> {
        let (sender, answered) = crossbeam_channel::bounded(1);
        self.connection.display().sync(&self.handle, sender);
        self.connection.flush().map_err(display)?;
        answered.recv_timeout(ANSWER).map_err(|_| display("the compositor does not answer"))
    }
}

impl Board for Clipboard {
    type Contents = Contents;
    type Reader = ();

    /// What is on it, in the formats that matter. Empty if nothing is, or if its owner does not answer in time.
    fn contents(&self, selection: Selection) -> Result<Contents, InsertError> {
        let (offer, formats) = {
            let mut places = self.shared.places();
            let place = places.of(selection);
            if let Some((_, contents)) = &place.own {
                return Ok(Arc::clone(contents));
            }
            let Some(offer) = place.offer.clone() else { return Ok(Contents::default()) };
            let formats = offer.data::<Formats>().map(|formats| locked(formats).clone()).unwrap_or_default();
            (offer, worth_keeping(&formats))
        };
        let until = Instant::now() + PATIENCE;
        let mut contents = Vec::new();
        for format in formats {
            match self.fetch(&offer, &format, until)? {
                Some(bytes) => contents.push((format, bytes)),
                None => break,
            }
        }
        Ok(Arc::new(contents))
    }

    fn offer(&self, selection: Selection, text: &str) -> Result<(), InsertError> {
        let mut contents: Vec<_> = TEXT.iter().map(|&format| (format.to_owned(), text.as_bytes().to_vec())).collect();
        contents.push((SECRET.to_owned(), b"secret".to_vec()));
        self.put(selection, Arc::new(contents), true)
    }

    fn restore(&self, selection: Selection, contents: Contents) -> Result<(), InsertError> {
        if !self.is_ours(selection)? {
            return Ok(());
        }
        if !contents.is_empty() {
            return self.put(selection, contents, false);
        }
        if let Some((source, _)) = self.shared.places().of(selection).own.take() {
            self.set(selection, None);
            source.destroy();
        }
        self.sync()
    }

    fn is_ours(&self, selection: Selection) -> Result<bool, InsertError> {
        self.sync()?;
        Ok(self.shared.places().of(selection).own.is_some())
    }

    fn next_fetch(&self, until: Instant) -> Option<()> {
        self.fetches.recv_deadline(until).ok()
    }
}

impl Drop for Clipboard {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        let woken = self.sync();
        if let Some(thread) = self.thread.take().filter(|_| woken.is_ok()) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn places(&self) -> MutexGuard<'_, Places> {
        locked(&self.places)
    }
}

impl Places {
    fn of(&mut self, selection: Selection) -> &mut Place {
        match selection {
            Selection::Clipboard => &mut self.clipboard,
            Selection::Primary => &mut self.primary,
        }
    }
}

/// What is behind it is whole whatever happened to its user.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of formats, those that bring a clipboard back: texts, markup, lists of files, and one image, for owners that offer one
/// offer it in all the formats they know.
fn worth_keeping(offered: &[String]) -> Vec<String> {
    let is_image = |format: &str| format.starts_with("image/");
    let image = ["image/png"].into_iter().chain(offered.iter().map(String::as_str).filter(|format| is_image(format)));
    let image = image.into_iter().find(|format| offered.iter().any(|offered| offered == format));
    let kept = |format: &&String| {
        let format = format.as_str();
        TEXT.contains(&format) || format == SECRET || (format.contains('/') && !is_image(format))
    };
    let mut formats: Vec<_> = offered.iter().filter(kept).cloned().chain(image.map(str::to_owned)).collect();
    let mut seen = std::collections::HashSet::new();
    formats.retain(|format| seen.insert(format.clone()));
    formats
}

/// Writes what was asked for. Whoever asked may take its time, or be gone already.
fn hand_out(contents: &Contents, format: &str, to: OwnedFd) {
    let contents = Arc::clone(contents);
    let format = format.to_owned();
    let write = move || {
        let bytes = contents.iter().find(|(known, _)| *known == format).map_or(&[][..], |(_, bytes)| bytes);
        let _ = std::fs::File::from(to).write_all(bytes);
    };
    if let Err(error) = std::thread::Builder::new().name("clipboard write".into()).spawn(write) {
        tracing::warn!(%error, "what was asked for was not handed out");
    }
}

impl Dispatch<ZwlrDataControlDeviceV1, ()> for State {
    fn event(
        state: &mut Self,
        _: &ZwlrDataControlDeviceV1,
        event: DeviceEvent,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let mut places = state.shared.places();
        let (place, offer) = match event {
            DeviceEvent::Selection { id } => (&mut places.clipboard, id),
            DeviceEvent::PrimarySelection { id } => (&mut places.primary, id),
            _ => return,
        };
        if let Some(before) = std::mem::replace(&mut place.offer, offer) {
            before.destroy();
        }
    }

    event_created_child!(Self, ZwlrDataControlDeviceV1, [
        EVT_DATA_OFFER_OPCODE => (ZwlrDataControlOfferV1, Formats::default())
    ]);
}

impl Dispatch<ZwlrDataControlOfferV1, Formats> for State {
    fn event(
        _: &mut Self,
        _: &ZwlrDataControlOfferV1,
        event: OfferEvent,
        formats: &Formats,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let OfferEvent::Offer { mime_type } = event {
            locked(formats).push(mime_type);
        }
    }
}

impl Dispatch<ZwlrDataControlSourceV1, Lent> for State {
    fn event(
        state: &mut Self,
        source: &ZwlrDataControlSourceV1,
        event: SourceEvent,
        lent: &Lent,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            SourceEvent::Send { mime_type, fd } => {
                hand_out(&lent.contents, &mime_type, fd);
                if lent.is_text && TEXT.contains(&mime_type.as_str()) {
                    let _ = state.fetched.try_send(());
                }
            }
            SourceEvent::Cancelled => {
                let mut places = state.shared.places();
                let id: ObjectId = source.id();
                let Places { clipboard, primary } = &mut *places;
                for place in [clipboard, primary] {
                    place.own.take_if(|(own, _)| own.id() == id);
                }
                source.destroy();
            }
            _ => {}
        }
    }
}

impl Dispatch<WlCallback, Sender<()>> for State {
    fn event(
        _: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        answered: &Sender<()>,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let _ = answered.try_send(());
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for State {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: <WlRegistry as wayland_client::Proxy>::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

delegate_noop!(State: ignore WlSeat);
delegate_noop!(State: ZwlrDataControlManagerV1);

#[cfg(test)]
mod tests {
    use super::worth_keeping;

    #[test]
    fn one_image_is_kept_and_what_no_program_reads_is_not() {
        let kept = |formats: &[&str]| {
            worth_keeping(&formats.iter().map(|&format| format.to_owned()).collect::<Vec<_>>()).join(" ")
        };
        assert_eq!(kept(&["TARGETS", "SAVE_TARGETS", "image/bmp", "image/png", "text/html"]), "text/html image/png");
        assert_eq!(kept(&["image/tiff", "image/bmp"]), "image/tiff");
        assert_eq!(kept(&["text/plain", "UTF8_STRING", "text/plain"]), "text/plain UTF8_STRING");
        assert_eq!(kept(&["text/plain", "x-kde-passwordManagerHint"]), "text/plain x-kde-passwordManagerHint");
    }
}
