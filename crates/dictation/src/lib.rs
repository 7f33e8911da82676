//! The dictation session: from a pressed button to committed words, with no user interface in it.
//!
//! [`Machine`] decides everything and does nothing: it is given audio, answers and the time, and says what has to be done.
//! [`Session`] does it: it owns the microphone, tells speech from noise, and asks the engine.

mod agreement;
mod guard;
mod keep;
pub mod machine;
mod microphone;
mod session;
pub mod text;

use std::time::Duration;

pub use agreement::Agreement;
pub use keep::Keep;
pub use machine::{Between, Machine, Rules};
pub use microphone::{Microphone, OpenMicrophone};
pub use session::{Session, Setup};
pub use text::TextRules;

/// Number of a dictation, counted from 1 since the session was started.
pub type TakeId = u32;

/// What happens to dictations, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The microphone is being opened.
    Opening {
        /// The new take.
        take: TakeId,
    },
    /// A microphone was opened and gave its first sample.
    MicrophoneLive {
        /// Its name.
        device: String,
        /// From the order to open it to the first sample.
        after: Duration,
    },
    /// The first audio is here: nothing that is said from now on is lost.
    Recording {
        /// The take.
        take: TakeId,
    },
    /// How loud it is, ten times a second while a take is recorded.
    Level {
        /// From 0, silence, to 1, as loud as it can be; even steps sound even.
        level: f32,
    },
    /// Sound was lost: this machine was too slow, or its sound system.
    Gap {
        /// How much.
        length: Duration,
    },
    /// The text of the segment that still grows, in place of what was told before.
    Live {
        /// The take.
        take: TakeId,
        /// Words that will stay.
        committed: String,
        /// Words that may change.
        tentative: String,
    },
    /// A segment has its final text, which stands for its live words. Empty if nothing was in them.
    Segment {
        /// The take.
        take: TakeId,
        /// To be appended to the segments before it.
        text: String,
    },
    /// Whether speech begins takes from now on, without a press.
    HandsFree {
        /// It does.
        on: bool,
        /// Somebody has chosen so. Otherwise the microphone went away.
        asked: bool,
    },
    /// The microphone went away while it was listened to; what was recorded is written all the same.
    MicrophoneLost {
        /// What it said.
        reason: String,
    },
    /// Nothing more is recorded for the take.
    Stopped {
        /// The take.
        take: TakeId,
    },
    /// The take is over. Takes finish in the order in which they began.
    Finished {
        /// The take.
        take: TakeId,
        /// What became of it.
        outcome: Outcome,
    },
}

/// What became of a take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All its text.
    Text(String),
    /// Nobody spoke: there is nothing to insert.
    NoSpeech,
    /// The user threw it away.
    Cancelled,
    /// No microphone could be opened.
    NoMicrophone {
        /// What it said.
        reason: String,
    },
    /// The engine failed.
    Failed {
        /// What it said.
        reason: String,
        /// Text of the segments before the failure.
        text: String,
    },
}
