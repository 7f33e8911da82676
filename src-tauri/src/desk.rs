//! Everything the window shows and does, on one thread, without Tauri.
//!
//! Every trigger is a [`Message`]; what the page has to know leaves as [`Update`]s, at most ten times a second, and
//! nothing while the page cannot be seen.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use crate::wire::{Model, Phase, Update, View};

/// Where updates go.
pub type Page = Box<dyn Fn(Update) + Send>;

/// What can happen to the desk.
pub enum Message {
    /// A page wants to know.
    Subscribe(Page),
    /// The page can or cannot be seen.
    Visible(bool),
    /// A file is, or is no longer, dragged over the window.
    Dragging(bool),
    /// Files were dropped on the window.
    Dropped(Vec<PathBuf>),
}

/// The running desk. Dropping it ends its thread.
pub struct Desk {
    inbox: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    /// Starts the thread.
    pub fn start() -> Self {
        // More messages than this wait only if the desk hangs, and then waiting is the only truthful answer.
        let (inbox, messages) = crossbeam_channel::bounded(64);
        let thread = std::thread::Builder::new()
            .name("desk".into())
            .spawn(move || State::new().run(&messages))
            .expect("BUG: a thread can be started while the app starts");
        Self { inbox: Some(inbox), thread: Some(thread) }
    }

    /// Hands over a message.
    pub fn send(&self, message: Message) {
        // The thread ends only when this value is dropped.
        let _ = self.inbox.as_ref().map(|inbox| inbox.send(message));
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct State {
    page: Option<Page>,
    visible: bool,
    view: View,
}

impl State {
    fn new() -> Self {
        Self {
            page: None,
            visible: true,
            view: View {
                phase: Phase::Idle,
                writing: 0,
                model: Model::Loading,
                microphones: Vec::new(),
                microphone: None,
                files: Vec::new(),
                dropping: false,
                notice: None,
            },
        }
    }

    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Subscribe(page) => self.page = Some(page),
                Message::Visible(visible) => self.visible = visible,
                Message::Dragging(over) => self.view.dropping = over,
                Message::Dropped(_) => self.view.dropping = false,
            }
            if let Some(page) = self.page.as_ref().filter(|_| self.visible) {
                page(Update::View { view: self.view.clone() });
            }
        }
    }
}
