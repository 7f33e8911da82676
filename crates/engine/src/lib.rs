//! One engine for every request: a queue with priorities, three stages that overlap, results in order, figures of it all.
//!
//! ```text
//! submit -> [queue] -> load + mel -> [mel buffers] -> encode -> [encoder outputs] -> decode -> events
//!               ^                                                                     |
//!               '------------------- the recording's next window ---------------------'
//! ```
//!
//! A recording is worked on window by window, and each window is scheduled anew: a live request waits for the windows that are
//! being worked on, never for a whole file. Where a window begins, and what it is told of the text before it, depends on how the
//! one before was decoded. So one recording has one window in the pipeline at a time, also where its options would allow more;
//! stages overlap across recordings.
//!
//! The queues between the stages are bounded by the buffers that a window needs: without a free buffer, the stage before waits.

mod engine;
mod metrics;
mod recording;
mod request;
mod schedule;
mod settings;
mod stages;

pub use engine::Engine;
pub use metrics::{Percentiles, RequestFigures, Snapshot, StageFigures};
pub use request::{
    Audio, AudioSource, Done, Event, Job, Priority, Request, RequestError, RequestId, SourceError, StartError,
    SubmitError, Timings,
};
pub use schedule::Stage;
pub use settings::{Mode, Settings, Shutdown, Speech, TrimContext};
