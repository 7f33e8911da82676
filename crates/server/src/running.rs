//! A request at the engine, awaited.

use std::sync::Arc;
use std::time::Duration;

use amanuensis_engine::{Audio, Done, Engine, Event, Job, Priority, Request, RequestError, SubmitError};
use amanuensis_whisper::DecodeOptions;
use tokio::sync::mpsc;

/// A request that was taken by the engine. Dropping it, as happens when the client goes away, cancels the request.
pub(crate) struct Running {
    job: Arc<Job>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Running {
    /// Hands `audio` to the engine.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn start(
        engine: &Engine,
        audio: Audio,
        priority: Priority,
        options: DecodeOptions,
        deadline: Option<Duration>,
    ) -> Result<Self, SubmitError> {
        let job = Arc::new(engine.submit(Request { audio, priority, options, deadline })?);
        // Unbounded, as the engine's own channel is: it holds no more than the events of one recording.
        let (sender, events) = mpsc::unbounded_channel();
        let watched = Arc::clone(&job);
        tokio::task::spawn_blocking(move || {
            for event in watched.events() {
                let _ = sender.send(event);
            }
        });
        Ok(Self { job, events })
    }

    /// The next thing that happens; `None` after the last.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Waits for the end. May be given up and called again.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn finished(&mut self) -> Result<Done, RequestError> {
        while let Some(event) = self.next().await {
            if let Event::Finished(result) = event {
                return result;
            }
        }
        Err(RequestError::Cancelled)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.job.cancel();
    }
}
