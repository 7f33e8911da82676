//! Who has the cores: a window that is encoded, or a step of all the windows that are being decoded.
//!
//! A step of a decoder is bound by reading weights, which serve any number of sequences once they are read. So sequences that
//! are decoded at a time step together, and while a window is encoded they wait: it has all the cores, and more of them step
//! together afterwards.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use amanuensis_kernels::{KeyValueNumber, KeyValues, ThreadPool, Workspace};
use amanuensis_whisper::Dims;

use crate::decoder::Sequences;

/// How long a step waits for those that are expected: longer than they take to choose their tokens, and a fraction of
/// what reading the weights once more takes.
const PATIENCE: Duration = Duration::from_micros(300);

/// Steps without sequences after which they are not expected any more. Those that were a little late once are waited for the next
/// time: else two that take turns would do so for ever.
const MOST_MISSED: u32 = 2;

/// The cores that encoders and decoders of a model share, with the memory that they work in.
#[derive(Debug)]
pub(crate) struct Cores {
    pub(crate) pool: ThreadPool,
    memory: Mutex<Memory>,
    turns: Mutex<Turns>,
    changed: Condvar,
    /// Tokens that go through the decoder at a time, unless one decoder alone brings more.
    most_tokens: usize,
}

/// What is computed on the way through the layers. It has room for a whole window, and the system gives memory only to what is
/// written.
#[derive(Debug)]
pub(crate) struct Memory {
    /// `[rows, d]`: the residual stream.
    pub(crate) x: Vec<f32>,
    /// `[rows, d]`: what an attention made.
    pub(crate) attended: Vec<f32>,
    /// The largest intermediate at a time: the first convolution with a frame of zeros on either side; queries, keys and values;
    /// or keys and values of the window for the decoder.
    pub(crate) wide: Vec<f32>,
    /// The first or last window of a convolution with its padding, or a whole transposed spectrogram.
    pub(crate) edge: Vec<f32>,
    /// Keys and values of the encoder's layer.
    pub(crate) key_values: KeyValues,
    /// `[positions of logits, d]`
    pub(crate) chosen: Vec<f32>,
    /// `[positions of logits, n_vocab]`, of several sequences.
    pub(crate) logits: Vec<f32>,
    pub(crate) workspace: Workspace,
}

#[derive(Debug, Default)]
struct Turns {
    /// Whether somebody works.
    taken: bool,
    /// Who waits to have all cores alone. They go before those who step.
    alone: usize,
    /// Sequences that are to step, and those that have.
    waiting: Vec<Sequences>,
    stepped: Vec<Sequences>,
    /// Who is expected to step again, and how many steps were made without each.
    expected: Vec<(u64, u32)>,
    free_since: Option<Instant>,
    last_id: u64,
    /// An empty list that has memory.
    spare: Vec<Sequences>,
}

/// The cores are taken until this is dropped.
struct Turn<'a> {
    cores: &'a Cores,
    /// Who waits for what is done in this turn, if anybody does, and who of them does it.
    sequences: Vec<Sequences>,
    leader: Option<u64>,
}

impl Cores {
    pub(crate) fn new(pool: ThreadPool, dims: &Dims, number: KeyValueNumber) -> Self {
        Self {
            pool,
            memory: Mutex::new(Memory::new(dims, number)),
            turns: Mutex::default(),
            changed: Condvar::new(),
            most_tokens: dims.n_text_ctx,
        }
    }

    /// A number for sequences, by which they are found again.
    pub(crate) fn new_id(&self) -> u64 {
        let mut turns = self.lock();
        turns.last_id += 1;
        turns.last_id
    }

    /// Works with all cores.
    pub(crate) fn alone<R>(&self, work: impl FnOnce(&mut Memory) -> R) -> R {
        let mut turns = self.lock();
        turns.alone += 1;
        while turns.taken {
            turns = self.changed.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
        turns.alone -= 1;
        turns.taken = true;
        let _turn = Turn { cores: self, sequences: std::mem::take(&mut turns.spare), leader: None };
        drop(turns);
        let mut memory = self.memory();
        work(&mut memory)
    }

    /// Has `step` done with the sequences, together with others that are to step. It is one of the callers who does it, for all.
    /// If it panics, the others are told by [`Sequences::abandoned`].
    pub(crate) fn together(&self, sequences: Sequences, step: impl Fn(&mut Memory, &mut [Sequences])) -> Sequences {
        let id = sequences.id;
        let mut turns = self.lock();
        turns.waiting.push(sequences);
        loop {
            if let Some(at) = turns.stepped.iter().position(|sequences| sequences.id == id) {
                return turns.stepped.swap_remove(at);
            }
            if turns.taken || turns.alone > 0 {
                turns = self.changed.wait(turns).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if turns.expected.iter().any(|(id, _)| turns.waiting.iter().all(|waiting| waiting.id != *id)) {
                let waited = turns.free_since.map_or(PATIENCE, |since| since.elapsed());
                if let Some(left) = PATIENCE.checked_sub(waited).filter(|left| !left.is_zero()) {
                    turns = self.changed.wait_timeout(turns, left).unwrap_or_else(PoisonError::into_inner).0;
                    continue;
                }
            }
            let turn = self.begin(&mut turns, id);
            drop(turns);
            self.lead(turn, &step);
            turns = self.lock();
        }
    }

    /// Takes as many of the waiting sequences as go through together.
    fn begin(&self, turns: &mut Turns, leader: u64) -> Turn<'_> {
        let mut tokens = 0;
        let fits = |sequences: &&Sequences| {
            tokens += sequences.tokens.len();
            tokens <= self.most_tokens
        };
        let count = turns.waiting.iter().take_while(fits).count().max(1);
        let mut sequences = std::mem::take(&mut turns.spare);
        sequences.extend(turns.waiting.drain(..count));
        turns.taken = true;
        turns.expected.iter_mut().for_each(|(_, missed)| *missed += 1);
        for sequences in &sequences {
            match turns.expected.iter_mut().find(|(id, _)| *id == sequences.id) {
                Some((_, missed)) => *missed = 0,
                None => turns.expected.push((sequences.id, 0)),
            }
        }
        turns.expected.retain(|(_, missed)| *missed < MOST_MISSED);
        Turn { cores: self, sequences, leader: Some(leader) }
    }

    fn lead(&self, mut turn: Turn<'_>, step: impl Fn(&mut Memory, &mut [Sequences])) {
        // Given back before the turn is.
        let mut memory = self.memory();
        step(&mut memory, &mut turn.sequences);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // A panic leaves numbers that the next user overwrites.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut turns = self.cores.lock();
        if std::thread::panicking() {
            // Nobody asks for the leader's any more, which need not be among those that it stepped.
            self.sequences.retain(|sequences| Some(sequences.id) != self.leader);
            turns.waiting.retain(|sequences| Some(sequences.id) != self.leader);
            self.sequences.iter_mut().for_each(|sequences| sequences.abandoned = true);
        }
        turns.stepped.append(&mut self.sequences);
        turns.spare = std::mem::take(&mut self.sequences);
        turns.taken = false;
        turns.free_since = Some(Instant::now());
        drop(turns);
        self.cores.changed.notify_all();
    }
}

impl Memory {
    fn new(dims: &Dims, number: KeyValueNumber) -> Self {
        let (audio, text) = (dims.n_audio_ctx, dims.n_text_ctx);
        let width = dims.n_audio_state.max(dims.n_text_state);
        Self {
            x: vec![0.0; audio.max(text) * width],
            attended: vec![0.0; audio.max(text) * width],
            wide: vec![0.0; 3 * audio.max(text).max(1) * width],
            edge: Vec::new(),
            key_values: KeyValues::new(number, dims.n_audio_head, dims.n_audio_state / dims.n_audio_head),
            chosen: Vec::new(),
            logits: Vec::new(),
            workspace: Workspace::new(),
        }
    }
}

/// The first values of a buffer, which is made longer if it has not so many.
pub(crate) fn grown(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const DIMS: Dims = Dims {
        n_mels: 1,
        n_audio_ctx: 1,
        n_audio_state: 4,
        n_audio_head: 1,
        n_audio_layer: 0,
        n_vocab: 10,
        n_text_ctx: 10,
        n_text_state: 4,
        n_text_head: 1,
        n_text_layer: 0,
    };

    fn cores() -> Cores {
        Cores::new(ThreadPool::new(NonZeroUsize::MIN), &DIMS, KeyValueNumber::F32)
    }

    fn sequences(cores: &Cores, tokens: usize) -> Sequences {
        let mut sequences = Sequences::new(cores.new_id(), &DIMS, KeyValueNumber::F32, 1);
        sequences.tokens.resize(tokens, 0);
        sequences
    }

    /// Keeps the cores from before these start until all of them wait.
    fn while_all_wait(cores: &Cores, start: &Barrier, waiting: usize) {
        cores.alone(|_| {
            start.wait();
            while cores.lock().waiting.len() < waiting {
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn those_who_wait_step_together_as_far_as_they_fit() {
        let cores = cores();
        let (sizes, start) = (Mutex::new(Vec::new()), Barrier::new(6));
        std::thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    let mine = sequences(&cores, 4);
                    start.wait();
                    let id = mine.id;
                    let back = cores.together(mine, |_, batch| sizes.lock().expect("no panic").push(batch.len()));
                    assert_eq!((back.id, back.abandoned), (id, false));
                });
            }
            while_all_wait(&cores, &start, 5);
        });
        // Ten tokens go through at a time.
        assert_eq!(*sizes.lock().expect("no panic"), [2, 2, 1]);
        // One that is larger than that goes alone.
        cores.together(sequences(&cores, 11), |_, batch| assert_eq!(batch.len(), 1));
    }

    #[test]
    fn one_has_the_cores_at_a_time() {
        let (cores, inside) = (cores(), AtomicUsize::new(0));
        let enter = || {
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            std::thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
        };
        let start = Barrier::new(5);
        std::thread::scope(|scope| {
            for thread in 0..5 {
                let (cores, start) = (&cores, &start);
                scope.spawn(move || {
                    let mut mine = sequences(cores, 1);
                    start.wait();
                    for _ in 0..200 {
                        if thread == 0 {
                            cores.alone(|_| enter());
                        } else {
                            mine = cores.together(mine, |_, _| enter());
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_breaks_off_one_step_and_no_other() {
        let cores = cores();
        let (panics, abandoned, start) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mine = sequences(&cores, 1);
                    start.wait();
                    match catch_unwind(AssertUnwindSafe(|| cores.together(mine, |_, _| panic!("meant")))) {
                        Ok(back) => abandoned.fetch_add(usize::from(back.abandoned), Ordering::SeqCst),
                        Err(_) => panics.fetch_add(1, Ordering::SeqCst),
                    };
                });
            }
            while_all_wait(&cores, &start, 3);
        });
        assert_eq!((panics.into_inner(), abandoned.into_inner()), (1, 2));
        let back = cores.together(sequences(&cores, 1), |_, _| {});
        assert!(!back.abandoned);
        assert!(cores.lock().stepped.is_empty());
    }

    #[test]
    fn a_panic_leaves_nothing_behind_of_one_who_stepped_others_only() {
        let cores = cores();
        // Whether it is the one whose turn it is that leads, chance decides.
        for _ in 0..50 {
            let start = Barrier::new(3);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        // Two of these do not fit together.
                        let mine = sequences(&cores, 6);
                        start.wait();
                        catch_unwind(AssertUnwindSafe(|| cores.together(mine, |_, _| panic!("meant"))))
                    });
                }
                while_all_wait(&cores, &start, 2);
            });
            let turns = cores.lock();
            assert!(turns.waiting.is_empty() && turns.stepped.is_empty());
        }
    }
}
