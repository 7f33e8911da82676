//! The clipboard, owned: what is on it is kept, a text lent to the program in front, and the program seen to fetch it.
//!
//! *Source*: ICCCM 2, selections, <https://www.x.org/releases/X11R7.6/doc/xorg-docs/specs/ICCCM/icccm.html>.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ClientMessageEvent, ConnectionExt as _, CreateWindowAux, EventMask, GetPropertyReply, PropMode,
    Property, SELECTION_NOTIFY_EVENT, SelectionNotifyEvent, SelectionRequestEvent, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;
use x11rb::{COPY_DEPTH_FROM_PARENT, COPY_FROM_PARENT, CURRENT_TIME, NONE};

use crate::InsertError;
use crate::paste::{Board, Selection};

/// How long it may take to copy what another program has on the clipboard. Some offer dozens of formats that they make
/// only when asked, so the ones that are worth most come first.
const PATIENCE: Duration = Duration::from_secs(2);

x11rb::atom_manager! {
    /// The words of the protocol.
    Atoms: AtomsCookie {
        CLIPBOARD,
        TARGETS,
        INCR,
        UTF8_STRING,
        STRING,
        TEXT,
        text_plain: b"text/plain",
        text_plain_utf8: b"text/plain;charset=utf-8",
        html: b"text/html",
        png: b"image/png",
        // Programs that keep a history of the clipboard leave out what says this.
        manager_hint: b"x-kde-passwordManagerHint",
        AMANUENSIS_TRANSFER,
        AMANUENSIS_END,
    }
}

/// What is on a clipboard, in one format.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    format: Atom,
    /// How the bytes are to be read: mostly the format once more.
    kind: Atom,
    /// Bits of one unit.
    bits: u8,
    bytes: Vec<u8>,
}

/// All that is on a clipboard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents(Arc<Vec<Item>>);

/// Offers things on the clipboards as long as it lives.
pub struct Clipboard {
    shared: Arc<Shared>,
    /// Who fetched a text.
    fetches: Receiver<Window>,
    /// Answers to what was asked of other owners.
    answers: Receiver<Event>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    connection: RustConnection,
    window: Window,
    atoms: Atoms,
    owned: Mutex<HashMap<Atom, Contents>>,
}

impl Clipboard {
    pub fn open(display: &str) -> Result<Self, InsertError> {
        let (connection, screen) = x11rb::connect(Some(display))?;
        let atoms = Atoms::new(&connection)?.reply()?;
        let window = connection.generate_id()?;
        let root = connection.setup().roots[screen].root;
        let events = CreateWindowAux::new().event_mask(EventMask::PROPERTY_CHANGE);
        let (depth, class, visual) = (COPY_DEPTH_FROM_PARENT, WindowClass::INPUT_OUTPUT, COPY_FROM_PARENT);
        connection.create_window(depth, window, root, 0, 0, 1, 1, 0, class, visual, &events)?.check()?;
        let shared = Arc::new(Shared { connection, window, atoms, owned: Mutex::default() });
        // More fetches than these are of no interest, and more answers are never open.
        let (fetched, fetches) = crossbeam_channel::bounded(64);
        let (answered, answers) = crossbeam_channel::bounded(64);
        let serving = Arc::clone(&shared);
        let serve = move || {
            // Without the display there is no clipboard.
            let _ = serving.serve(&fetched, &answered);
        };
        let thread =
            std::thread::Builder::new().name("clipboard".into()).spawn(serve).expect("BUG: few threads are running");
        Ok(Self { shared, fetches, answers, thread: Some(thread) })
    }

    /// Whether two windows belong to the same program.
    pub fn same_program(&self, one: Window, other: Window) -> bool {
        (one ^ other) & !self.shared.connection.setup().resource_id_mask == 0
    }

    fn put(&self, selection: Selection, contents: Contents) -> Result<(), InsertError> {
        let Shared { connection, window, .. } = &*self.shared;
        let name = self.shared.name(selection);
        // Locked until the server agrees: news that another program took the clipboard before must not undo this.
        let mut owned = self.shared.owned();
        connection.set_selection_owner(*window, name, CURRENT_TIME)?.check()?;
        if connection.get_selection_owner(name)?.reply()?.owner != *window {
            return Err(InsertError::ClipboardTaken);
        }
        owned.insert(name, contents);
        Ok(())
    }

    /// Of formats, those that bring a clipboard back: texts, markup, lists of files, and one image, for owners that offer one
    /// offer it in all the formats they know.
    fn worth_keeping(&self, offered: &[Atom]) -> Result<Vec<Atom>, InsertError> {
        let Shared { connection, atoms, .. } = &*self.shared;
        let mut named = Vec::new();
        let questions: Vec<_> = offered.iter().map(|&atom| connection.get_atom_name(atom)).collect::<Result<_, _>>()?;
        for (&atom, question) in offered.iter().zip(questions) {
            named.push((atom, String::from_utf8_lossy(&question.reply()?.name).into_owned()));
        }
        // A secret that is put back is still one.
        let first = [atoms.UTF8_STRING, atoms.html, atoms.png, atoms.STRING, atoms.manager_hint];
        let image =
            if offered.contains(&atoms.png) { None } else { named.iter().find(|(_, name)| name.starts_with("image/")) };
        let others = named.iter().filter(|(_, name)| name.contains('/') && !name.starts_with("image/")).chain(image);
        let mut kept: Vec<Atom> = first.into_iter().filter(|atom| offered.contains(atom)).collect();
        for &(atom, _) in others {
            if !kept.contains(&atom) {
                kept.push(atom);
            }
        }
        Ok(kept)
    }

    /// What the owner of a clipboard offers in this format. `None` if it does not, or takes too long.
    fn fetch(&self, selection: Atom, format: Atom, until: Instant) -> Result<Option<Item>, InsertError> {
        let Shared { connection, window, atoms, .. } = &*self.shared;
        let place = atoms.AMANUENSIS_TRANSFER;
        connection.delete_property(*window, place)?;
        connection.convert_selection(*window, selection, format, place, CURRENT_TIME)?;
        connection.flush()?;
        let answered = self.answer(until, |event| match event {
            Event::SelectionNotify(answer) if answer.target == format => Some(answer.property != NONE),
            _ => None,
        });
        if answered != Some(true) {
            return Ok(None);
        }
        let take = || -> Result<GetPropertyReply, InsertError> {
            Ok(connection.get_property(true, *window, place, AtomEnum::ANY, 0, u32::MAX)?.reply()?)
        };
        let whole = take()?;
        if whole.type_ != atoms.INCR {
            return Ok(Some(Item { format, kind: whole.type_, bits: whole.format, bytes: whole.value }));
        }
        // In pieces: each is there once the one before was deleted, which taking it does; an empty one is the last.
        let mut item = Item { format, kind: format, bits: 8, bytes: Vec::new() };
        loop {
            let arrived = self.answer(until, |event| match event {
                Event::PropertyNotify(change) => {
                    (change.atom == place && change.state == Property::NEW_VALUE).then_some(())
                }
                _ => None,
            });
            if arrived.is_none() {
                return Ok(None);
            }
            let piece = take()?;
            // The announcement of the announcement, which was taken already.
            if piece.type_ == NONE {
                continue;
            }
            if piece.value.is_empty() {
                return Ok(Some(item));
            }
            (item.kind, item.bits) = (piece.type_, piece.format);
            item.bytes.extend(piece.value);
        }
    }

    /// The first event that `fits` makes something of.
    fn answer<T>(&self, until: Instant, fits: impl Fn(&Event) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = fits(&self.answers.recv_deadline(until).ok()?) {
                return Some(found);
            }
        }
    }
}

impl Board for Clipboard {
    type Contents = Contents;
    type Reader = Window;

    /// What is on it, in the formats that matter. Empty if nothing is, or if its owner does not answer in time.
    fn contents(&self, selection: Selection) -> Result<Contents, InsertError> {
        let Shared { connection, window, atoms, .. } = &*self.shared;
        let name = self.shared.name(selection);
        let owner = connection.get_selection_owner(name)?.reply()?.owner;
        if owner == *window {
            return Ok(self.shared.owned().get(&name).cloned().unwrap_or_default());
        }
        if owner == NONE {
            return Ok(Contents::default());
        }
        while self.answers.try_recv().is_ok() {}
        let until = Instant::now() + PATIENCE;
        let Some(targets) = self.fetch(name, atoms.TARGETS, until)? else { return Ok(Contents::default()) };
        let offered: Vec<Atom> = targets
            .bytes
            .chunks_exact(4)
            .map(|bytes| Atom::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        let mut items = Vec::new();
        for format in self.worth_keeping(&offered)? {
            if let Some(item) = self.fetch(name, format, until)? {
                items.push(item);
            }
        }
        connection.delete_property(*window, atoms.AMANUENSIS_TRANSFER)?;
        connection.flush()?;
        Ok(Contents(Arc::new(items)))
    }

    fn offer(&self, selection: Selection, text: &str) -> Result<(), InsertError> {
        let atoms = &self.shared.atoms;
        let item = |format, kind| Item { format, kind, bits: 8, bytes: text.as_bytes().to_vec() };
        let mut items: Vec<_> = [atoms.UTF8_STRING, atoms.text_plain_utf8, atoms.text_plain]
            .into_iter()
            .map(|format| item(format, format))
            .collect();
        items.push(item(atoms.TEXT, atoms.UTF8_STRING));
        items.push(Item { bytes: b"secret".to_vec(), ..item(atoms.manager_hint, atoms.manager_hint) });
        self.put(selection, Contents(Arc::new(items)))
    }

    fn restore(&self, selection: Selection, contents: Contents) -> Result<(), InsertError> {
        if !self.is_ours(selection)? {
            return Ok(());
        }
        if contents.0.is_empty() {
            let Shared { connection, .. } = &*self.shared;
            connection.set_selection_owner(NONE, self.shared.name(selection), CURRENT_TIME)?.check()?;
            return Ok(());
        }
        self.put(selection, contents)
    }

    fn is_ours(&self, selection: Selection) -> Result<bool, InsertError> {
        let Shared { connection, window, .. } = &*self.shared;
        Ok(connection.get_selection_owner(self.shared.name(selection))?.reply()?.owner == *window)
    }

    fn next_fetch(&self, until: Instant) -> Option<Window> {
        self.fetches.recv_deadline(until).ok()
    }
}

impl Drop for Clipboard {
    fn drop(&mut self) {
        let Shared { connection, window, atoms, .. } = &*self.shared;
        let end = ClientMessageEvent::new(32, *window, atoms.AMANUENSIS_END, [0; 5]);
        let told =
            connection.send_event(false, *window, EventMask::NO_EVENT, end).is_ok() && connection.flush().is_ok();
        if let Some(thread) = self.thread.take().filter(|_| told) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn name(&self, selection: Selection) -> Atom {
        match selection {
            Selection::Clipboard => self.atoms.CLIPBOARD,
            Selection::Primary => AtomEnum::PRIMARY.into(),
        }
    }

    fn owned(&self) -> std::sync::MutexGuard<'_, HashMap<Atom, Contents>> {
        // A map of what is offered is whole whatever happened to its user.
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, fetched: &Sender<Window>, answered: &Sender<Event>) -> Result<(), InsertError> {
        loop {
            match self.connection.wait_for_event()? {
                Event::ClientMessage(message) if message.type_ == self.atoms.AMANUENSIS_END => return Ok(()),
                // Who asked may be gone already.
                Event::SelectionRequest(request) if self.hand_out(&request).is_ok_and(|text| text) => {
                    let _ = fetched.try_send(request.requestor);
                }
                Event::SelectionClear(clear) => {
                    let mut owned = self.owned();
                    // Old news, if it is ours again.
                    if self.connection.get_selection_owner(clear.selection)?.reply()?.owner != self.window {
                        owned.remove(&clear.selection);
                    }
                }
                event @ (Event::SelectionNotify(_) | Event::PropertyNotify(_)) => _ = answered.try_send(event),
                _ => {}
            }
        }
    }

    /// Gives what was asked for, if it is there. Returns whether that was a text.
    fn hand_out(&self, request: &SelectionRequestEvent) -> Result<bool, InsertError> {
        let Self { connection, atoms, .. } = self;
        let contents = self.owned().get(&request.selection).cloned().unwrap_or_default();
        let item = contents.0.iter().find(|item| item.format == request.target);
        // Old programs leave it to us where the answer goes.
        let property = if request.property == NONE { request.target } else { request.property };
        let longest = connection.maximum_request_bytes() - 64;
        let given = match item {
            _ if request.target == atoms.TARGETS => {
                let formats: Vec<_> = contents.0.iter().map(|item| item.format).chain([atoms.TARGETS]).collect();
                connection.change_property32(
                    PropMode::REPLACE,
                    request.requestor,
                    property,
                    AtomEnum::ATOM,
                    &formats,
                )?;
                true
            }
            Some(Item { kind, bits, bytes, .. }) if bytes.len() <= longest => {
                let length = (bytes.len() / usize::from(bits / 8).max(1)) as u32;
                connection.change_property(
                    PropMode::REPLACE,
                    request.requestor,
                    property,
                    *kind,
                    *bits,
                    length,
                    bytes,
                )?;
                true
            }
            _ => false,
        };
        let notice = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: request.requestor,
            selection: request.selection,
            target: request.target,
            property: if given { property } else { NONE },
        };
        connection.send_event(false, request.requestor, EventMask::NO_EVENT, notice)?;
        connection.flush()?;
        let texts = [atoms.UTF8_STRING, atoms.text_plain_utf8, atoms.text_plain, atoms.TEXT];
        Ok(given && texts.contains(&request.target))
    }
}
