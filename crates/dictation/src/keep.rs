//! Where the sound of a take goes besides being written out.

use std::collections::VecDeque;

use amanuensis_audio::SAMPLE_RATE;

use crate::{Event, TakeId};

/// What is heard before a take begins and yet belongs to it: a voice detector wakes up late.
const PRE_ROLL_SAMPLES: usize = SAMPLE_RATE as usize / 2;

/// Keeps the sound of takes as it is heard, before anything is decided about it.
///
/// It is called on the session's thread, between two pieces of sound: it must not block.
pub trait Keep: Send {
    /// A take begins.
    fn begin(&mut self, take: TakeId);

    /// The next samples of the take that began last.
    fn hear(&mut self, samples: &[f32]);

    /// Nothing more is heard of the take that began last.
    fn end(&mut self);
}

/// Keeps nothing.
impl Keep for () {
    fn begin(&mut self, _: TakeId) {}

    fn hear(&mut self, _: &[f32]) {}

    fn end(&mut self) {}
}

/// Hands what is heard to a [`Keep`], and to each take what was heard shortly before it.
pub(crate) struct Kept {
    keep: Box<dyn Keep>,
    /// What was heard since the last take ended, or the end of it.
    recent: VecDeque<f32>,
    began: bool,
}

impl Kept {
    pub(crate) fn new(keep: Box<dyn Keep>) -> Self {
        Self { keep, recent: VecDeque::with_capacity(2 * PRE_ROLL_SAMPLES), began: false }
    }

    /// Takes what was heard. `recording` is whether a take was being recorded before; that it began may not have been told yet.
    pub(crate) fn hear(&mut self, samples: &[f32], recording: bool) {
        if self.began {
            self.keep.hear(samples);
            return;
        }
        self.recent.extend(samples);
        if !recording {
            self.recent.drain(..self.recent.len().saturating_sub(PRE_ROLL_SAMPLES));
        }
    }

    /// The microphone is closed: what was heard before is not the beginning of anything.
    pub(crate) fn forget(&mut self) {
        self.recent.clear();
    }

    /// Looks whether an event begins or ends a take.
    pub(crate) fn told(&mut self, event: &Event) {
        match event {
            Event::Opening { take } => {
                self.began = true;
                self.keep.begin(*take);
                let (first, second) = self.recent.as_slices();
                self.keep.hear(first);
                self.keep.hear(second);
                self.recent.clear();
            }
            Event::Stopped { .. } => {
                self.began = false;
                self.keep.end();
            }
            _ => {}
        }
    }
}
