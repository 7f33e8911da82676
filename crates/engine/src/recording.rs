//! The recording of a request, of which a window at a time is looked at.

use std::time::Duration;

use amanuensis_pool::Lease;
use amanuensis_whisper::{HOP_SAMPLES, SAMPLE_RATE, SAMPLES_PER_WINDOW};

use crate::request::{Audio, AudioSource, SourceError};

/// A recording, as far as it is in memory.
pub(crate) enum Recording {
    /// All of it is.
    Whole(Vec<f32>),
    /// A window of it is.
    Streamed(Stream),
}

/// A source, and the window that was read from it.
pub(crate) struct Stream {
    source: Box<dyn AudioSource>,
    /// `[SAMPLES_PER_WINDOW]`, of which the first `held` are read. None before the first window.
    buffer: Option<Lease>,
    held: usize,
    /// Samples of the recording before the buffer.
    before: usize,
    ended: bool,
    failure: Option<SourceError>,
}

impl Recording {
    /// A recording of which nothing was looked at.
    pub(crate) fn new(audio: Audio) -> Self {
        match audio {
            Audio::Samples(samples) => Self::Whole(samples),
            Audio::Source(source) => {
                Self::Streamed(Stream { source, buffer: None, held: 0, before: 0, ended: false, failure: None })
            }
        }
    }

    /// Whether a buffer is needed before the first window can be read.
    pub(crate) fn is_streamed(&self) -> bool {
        matches!(self, Self::Streamed(_))
    }

    /// Gives the buffer that a streamed recording is read into.
    pub(crate) fn lend(&mut self, lease: Lease) {
        if let Self::Streamed(stream) = self {
            stream.buffer = Some(lease);
        }
    }

    /// The samples from `frame` on, a window of them at most; none at the end. Windows are asked for in order.
    pub(crate) fn window(&mut self, frame: usize) -> &[f32] {
        let from = frame * HOP_SAMPLES;
        match self {
            Self::Whole(samples) => {
                let rest = samples.get(from..).unwrap_or_default();
                &rest[..rest.len().min(SAMPLES_PER_WINDOW)]
            }
            Self::Streamed(stream) => stream.window(from),
        }
    }

    /// Whether it is known that nothing follows from `frame` on.
    pub(crate) fn is_over(&self, frame: usize) -> bool {
        let from = frame * HOP_SAMPLES;
        match self {
            // Less than a frame is nothing.
            Self::Whole(samples) => from + HOP_SAMPLES > samples.len(),
            Self::Streamed(stream) => stream.ended && from + HOP_SAMPLES > stream.before + stream.held,
        }
    }

    /// Length, where it is known.
    pub(crate) fn duration(&self) -> Option<Duration> {
        match self {
            Self::Whole(samples) => Some(duration(samples.len())),
            Self::Streamed(stream) if stream.ended => Some(duration(stream.before + stream.held)),
            Self::Streamed(stream) => stream.source.duration(),
        }
    }

    /// Why the recording ended before its end, if it did.
    pub(crate) fn failure(&mut self) -> Option<SourceError> {
        match self {
            Self::Whole(_) => None,
            Self::Streamed(stream) => stream.failure.take(),
        }
    }
}

impl Stream {
    fn window(&mut self, from: usize) -> &[f32] {
        let Some(buffer) = &mut self.buffer else { return &[] };
        let passed = from.saturating_sub(self.before).min(self.held);
        buffer.copy_within(passed..self.held, 0);
        self.held -= passed;
        self.before += passed;
        let mut skip = from.saturating_sub(self.before);
        while self.held < SAMPLES_PER_WINDOW && !self.ended {
            match self.source.read(&mut buffer[self.held..SAMPLES_PER_WINDOW]) {
                Ok(0) => self.ended = true,
                // A source that claims more than there was room for is not believed.
                Ok(count) => self.held += count.min(SAMPLES_PER_WINDOW - self.held),
                Err(failure) => {
                    self.ended = true;
                    self.failure = Some(failure);
                }
            }
            // Words may end beyond the window that they were heard in.
            let skipped = skip.min(self.held);
            if skipped > 0 {
                buffer.copy_within(skipped..self.held, 0);
                self.held -= skipped;
                self.before += skipped;
                skip -= skipped;
            }
        }
        &buffer[..self.held]
    }
}

fn duration(samples: usize) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(SAMPLE_RATE))
}

#[cfg(test)]
mod tests {
    use amanuensis_pool::Pool;

    use super::*;

    /// Counts up, in reads of uneven length, and may break off.
    struct Counter {
        next: usize,
        end: usize,
        breaks: bool,
    }

    impl AudioSource for Counter {
        fn read(&mut self, out: &mut [f32]) -> Result<usize, SourceError> {
            let count = out.len().min(self.end - self.next).min(99_991);
            if count == 0 && self.breaks {
                let error: Box<dyn std::error::Error + Send + Sync> = "it broke off".into();
                return Err(error.into());
            }
            for value in &mut out[..count] {
                *value = self.next as f32;
                self.next += 1;
            }
            Ok(count)
        }

        fn duration(&self) -> Option<Duration> {
            None
        }
    }

    fn streamed(end: usize, breaks: bool) -> Recording {
        let mut recording = Recording::new(Audio::Source(Box::new(Counter { next: 0, end, breaks })));
        recording.lend(Pool::new("test", 1, SAMPLES_PER_WINDOW).lease().expect("it is free"));
        recording
    }

    #[test]
    fn windows_of_a_stream_are_those_of_the_whole() {
        let end = 1_234_567;
        let mut stream = streamed(end, false);
        let mut whole = Recording::new(Audio::Samples((0..end).map(|sample| sample as f32).collect()));
        for frame in [0, 1, 2_500, 5_400, 7_000, 7_700, 7_716] {
            assert_eq!(stream.window(frame), whole.window(frame), "from frame {frame}");
            assert_eq!(stream.is_over(frame), whole.is_over(frame), "from frame {frame}");
        }
        assert_eq!(stream.duration(), whole.duration());
    }

    #[test]
    fn a_jump_beyond_the_window_skips_what_lies_between() {
        let mut stream = streamed(1_234_567, false);
        stream.window(0);
        assert_eq!(stream.window(4_000)[0], (4_000 * HOP_SAMPLES) as f32);
        assert_eq!(stream.window(9_000), &[0.0; 0]);
        assert!(stream.is_over(9_000));
    }

    #[test]
    fn what_came_before_a_failure_is_a_window_still() {
        let mut stream = streamed(50_000, true);
        assert_eq!(stream.window(0).len(), 50_000);
        assert!(stream.is_over(313) && !stream.is_over(100));
        assert_eq!(stream.failure().map(|failure| failure.to_string()).as_deref(), Some("it broke off"));
    }
}
