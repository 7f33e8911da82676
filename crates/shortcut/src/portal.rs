//! A combination of keys, granted by the desktop's portal.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use ashpd::desktop::global_shortcuts::{GlobalShortcuts, NewShortcut};
use ashpd::zbus::connection::{Builder, Connection};
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::select;

use crate::{Edge, Keys, ShortcutError};

/// What the desktop keeps the user's choice of keys under.
const ID: &str = "dictate";

/// A bound combination. It ends with the value.
#[derive(Debug)]
pub struct Binding {
    abort: AbortHandle,
    thread: Option<JoinHandle<()>>,
}

impl Binding {
    pub fn make(
        bus: Option<String>,
        description: String,
        keys: &Keys,
        tell: impl FnMut(Edge) + Send + 'static,
    ) -> Result<Self, ShortcutError> {
        let (bound, is_bound) = sync_channel(1);
        let (listening, abort) = abortable(listen(bus, description, keys.for_portal(), bound.clone(), tell));
        let work = move || {
            if let Ok(Err(error)) = ashpd::zbus::block_on(listening) {
                // Nobody is there any more if it ended later on.
                let _ = bound.try_send(Err(ShortcutError::Portal(error.to_string())));
            }
        };
        let thread =
            std::thread::Builder::new().name("shortcut".into()).spawn(work).expect("BUG: few threads are running");
        let binding = Self { abort, thread: Some(thread) };
        // The thread answers, or ends, with which nothing is left to answer.
        is_bound.recv().unwrap_or_else(|_| Err(ShortcutError::Portal("it does not answer".to_owned())))?;
        Ok(binding)
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.abort.abort();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn listen(
    bus: Option<String>,
    description: String,
    keys: String,
    bound: SyncSender<Result<(), ShortcutError>>,
    mut tell: impl FnMut(Edge),
) -> Result<(), ashpd::Error> {
    let bus = match bus {
        Some(address) => Builder::address(address.as_str())?.build().await?,
        None => Connection::session().await?,
    };
    // That this succeeds says nothing: only a session shows that there is a portal.
    let portal = GlobalShortcuts::with_connection(bus).await?;
    let pressed = portal.receive_activated().await?.map(|news| (Edge::Pressed, news.shortcut_id() == ID));
    let released = portal.receive_deactivated().await?.map(|news| (Edge::Released, news.shortcut_id() == ID));
    let session = portal.create_session(Default::default()).await?;
    let wanted = NewShortcut::new(ID, description.as_str()).preferred_trigger(keys.as_str());
    portal.bind_shortcuts(&session, &[wanted], None, Default::default()).await?.response()?;
    let _ = bound.try_send(Ok(()));
    let mut edges = Box::pin(select(pressed, released));
    while let Some((edge, ours)) = edges.next().await {
        if ours {
            tell(edge);
        }
    }
    Ok(())
}
