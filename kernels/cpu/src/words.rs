//! Memory in 32-bit words: what packed matrices and the kernels' working memory consist of.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A cache line, and the widest vector.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Words that begin on a cache line.
#[derive(Debug, Default)]
pub(crate) struct Words(Vec<Line>);

impl Words {
    /// `count` zeros, or a few more.
    pub(crate) fn zeros(count: usize) -> Self {
        Self(vec![Line([0; 16]); count.div_ceil(16)])
    }

    /// Grows to `count` words; what was there stays.
    pub(crate) fn reserve(&mut self, count: usize) {
        if self.0.len() * 16 < count {
            self.0.resize(count.div_ceil(16), Line([0; 16]));
        }
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        // SAFETY: a line is sixteen words without padding.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 16) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u32] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 16) }
    }
}

/// A packed matrix: words of its own, or of memory that somebody else holds, such as a file.
pub struct PackedWords(Held);

enum Held {
    Own(Words),
    Shared { memory: Arc<dyn AsRef<[u8]> + Send + Sync>, bytes: Range<usize> },
}

impl PackedWords {
    /// Words that lie in shared memory; `None` if they are not whole, not aligned or not within it.
    pub fn shared(memory: Arc<dyn AsRef<[u8]> + Send + Sync>, bytes: Range<usize>) -> Option<Self> {
        let found = (*memory).as_ref().get(bytes.clone())?;
        let fits = found.as_ptr().cast::<Line>().is_aligned() && found.len().is_multiple_of(size_of::<u32>());
        fits.then_some(Self(Held::Shared { memory, bytes }))
    }

    /// The words.
    pub fn as_slice(&self) -> &[u32] {
        match &self.0 {
            Held::Own(words) => words.as_slice(),
            Held::Shared { memory, bytes } => {
                // SAFETY: any four bytes are a word.
                let (before, words, _) = unsafe { (**memory).as_ref()[bytes.clone()].align_to() };
                assert!(before.is_empty(), "shared memory does not move");
                words
            }
        }
    }
}

impl From<Words> for PackedWords {
    fn from(words: Words) -> Self {
        Self(Held::Own(words))
    }
}

impl fmt::Debug for PackedWords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} packed words", self.as_slice().len())
    }
}

/// Words as the floats that were put there.
pub(crate) fn floats(words: &[u32]) -> &[f32] {
    // SAFETY: both are four bytes, aligned alike, without invalid patterns.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}

/// Words as floats to write.
pub(crate) fn floats_mut(words: &mut [u32]) -> &mut [f32] {
    // SAFETY: as above, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
}

/// Words as the whole numbers that were put there.
pub(crate) fn whole(words: &[u32]) -> &[i32] {
    // SAFETY: both are four bytes, aligned alike, without invalid patterns.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}

/// Words as whole numbers to write.
pub(crate) fn whole_mut(words: &mut [u32]) -> &mut [i32] {
    // SAFETY: as above, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
}

/// Words as bytes, the lowest first.
pub(crate) fn bytes_mut(words: &mut [u32]) -> &mut [u8] {
    const { assert!(cfg!(target_endian = "little")) };
    // SAFETY: any byte is valid in a word, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 4 * words.len()) }
}

/// Words as halves, the lower first.
pub(crate) fn halves_mut(words: &mut [u32]) -> &mut [u16] {
    const { assert!(cfg!(target_endian = "little")) };
    // SAFETY: any half is valid in a word, and a word's alignment is enough.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 2 * words.len()) }
}

/// Memory that kernels work in: a part for each thread of a pool, and one for all of them.
///
/// It grows to what the largest call needs and stays, so that nothing is allocated once that call has been made.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(crate) common: Words,
    /// What lies between two products of few rows.
    pub(crate) middle: Words,
    pub(crate) parts: Parts,
}

/// The threads' parts. A lock that nobody else wants costs nothing, and spares the callers their `unsafe`.
#[derive(Debug, Default)]
pub(crate) struct Parts(Vec<Mutex<Words>>);

impl Workspace {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        let parts = self.parts.0.iter().map(|part| lock(part).as_slice().len());
        4 * (self.common.as_slice().len() + self.middle.as_slice().len() + parts.sum::<usize>())
    }
}

impl Parts {
    /// Gives each of `threads` at least `words`.
    pub(crate) fn reserve(&mut self, threads: usize, words: usize) {
        self.0.resize_with(self.0.len().max(threads), Mutex::default);
        for part in &mut self.0 {
            part.get_mut().unwrap_or_else(PoisonError::into_inner).reserve(words);
        }
    }

    /// The part of one thread.
    pub(crate) fn of(&self, thread: usize) -> MutexGuard<'_, Words> {
        lock(&self.0[thread])
    }
}

fn lock(part: &Mutex<Words>) -> MutexGuard<'_, Words> {
    // A panic leaves numbers that the next user overwrites.
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
