//! Attention: queries on keys and values that were packed once, for the encoder (every position on every other) and for the
//! decoder on the encoder's output.

mod bytes;
mod cached;
mod floats;
mod softmax;

use std::ops::Range;

use crate::dot::{Dot, PANEL, Tile, tile_of};
use crate::matrix::{Activations, Out};
use crate::number::{Bf16, F32};
use crate::words::{Words, Workspace};
use crate::{Level, ThreadPool};

pub use cached::{Cached, attend_cached};

/// Most queries that a kernel takes at a time.
const QUERIES: usize = 12;
/// Queries of one task.
const TASK_QUERIES: usize = 8 * QUERIES;

/// Widest head.
const MOST_WIDTH: usize = 128;

/// How keys and values are held and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyValueNumber {
    /// 32-bit floats.
    F32,
    /// bfloat16, and so are queries and the softmax; sums are 32-bit floats.
    Bf16,
    /// Bytes with a scale for each block of positions, and so are queries and the softmax; sums within a block are integers.
    Int8,
}

/// Keys and values of all heads.
///
/// Holds its memory, which grows to the most positions and stays. No matrix of all scores exists: a tile of queries passes over
/// the keys with a running maximum and a running sum.
///
/// *Source*: Milakov and Gimelshein, Online normalizer calculation for softmax, <https://arxiv.org/abs/1805.02867>.
#[derive(Debug)]
pub struct KeyValues {
    number: KeyValueNumber,
    level: Level,
    heads: usize,
    width: usize,
    positions: usize,
    /// One head after the other, as its number type wants them. So are `values`.
    keys: Words,
    values: Words,
}

/// Words that a head's keys, its values, and the scratch of a task take.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    keys: usize,
    values: usize,
    scratch: usize,
}

/// Keys and values as they come.
///
/// *Shape*: `[positions, heads * width]`, rows `stride` apart.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    keys: &'a [f32],
    values: &'a [f32],
    stride: usize,
}

impl KeyValues {
    /// None yet, of this many heads of this width.
    ///
    /// *Panics*: if a head is wider than 128, twice what Whisper has.
    pub fn new(number: KeyValueNumber, heads: usize, width: usize) -> Self {
        assert!(width <= MOST_WIDTH, "heads of {width} columns");
        Self {
            number,
            level: Level::best(),
            heads,
            width,
            positions: 0,
            keys: Words::default(),
            values: Words::default(),
        }
    }

    /// Positions that it holds.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        4 * (self.keys.as_slice().len() + self.values.as_slice().len())
    }

    fn sizes(&self) -> Sizes {
        match self.number {
            KeyValueNumber::F32 => floats::sizes::<F32>(self.width, self.positions),
            KeyValueNumber::Bf16 => floats::sizes::<Bf16>(self.width, self.positions),
            KeyValueNumber::Int8 => bytes::sizes(self.width, self.positions),
        }
    }

    /// Replaces what it holds.
    ///
    /// *Shape*: `keys` and `values` `[positions, heads * width]`, their rows `stride` apart.
    ///
    /// *Panics*: if a slice is too short.
    pub fn fill(&mut self, pool: &ThreadPool, keys: &[f32], values: &[f32], stride: usize, positions: usize) {
        let needed = positions.checked_sub(1).map_or(0, |last| last * stride + self.heads * self.width);
        assert!(keys.len() >= needed && values.len() >= needed, "{positions} positions do not lie in the slices");
        self.positions = positions;
        let (heads, width, sizes) = (self.heads, self.width, self.sizes());
        self.keys.reserve(heads * sizes.keys);
        self.values.reserve(heads * sizes.values);
        let packed_keys = Cells::new(self.keys.as_mut_slice());
        let packed_values = Cells::new(self.values.as_mut_slice());
        pool.run(heads, |head, _| {
            let source = Source { keys: &keys[head * width..], values: &values[head * width..], stride };
            // SAFETY: every task has a head of its own.
            let (keys, values) = unsafe {
                (
                    packed_keys.range(head * sizes.keys, sizes.keys),
                    packed_values.range(head * sizes.values, sizes.values),
                )
            };
            match self.number {
                KeyValueNumber::F32 => floats::pack::<F32>(source, width, positions, keys, values),
                KeyValueNumber::Bf16 => floats::pack::<Bf16>(source, width, positions, keys, values),
                KeyValueNumber::Int8 => bytes::pack(source, width, positions, self.level, keys, values),
            }
        });
    }

    /// `softmax(q k^T / sqrt(width)) v` for each head.
    ///
    /// *Shape*: `queries` `[rows, heads * width]`, `stride` apart; `out` `[rows, heads * width]`.
    ///
    /// *Panics*: if a slice is too short.
    pub fn attend(&self, pool: &ThreadPool, queries: Activations<'_>, out: &mut [f32], workspace: &mut Workspace) {
        attend_each(pool, 1, |_| (self, 0..queries.rows), queries, out, workspace);
    }

    fn keys_of(&self, head: usize, sizes: Sizes) -> &[u32] {
        &self.keys.as_slice()[head * sizes.keys..][..sizes.keys]
    }

    /// Scores of one head before the softmax, scaled: `q k^T / sqrt(width)`.
    ///
    /// *Shape*: `query` `[heads * width]`, `scores` `[positions]`.
    pub fn scores(&self, query: &[f32], head: usize, scores: &mut [f32]) {
        let keys = self.keys_of(head, self.sizes());
        let scale = (self.width as f32).sqrt().recip();
        let mut key = [0.0; MOST_WIDTH];
        let key = &mut key[..self.width];
        for (position, score) in scores.iter_mut().enumerate().take(self.positions) {
            match self.number {
                KeyValueNumber::F32 => floats::key::<F32>(keys, position, key),
                KeyValueNumber::Bf16 => floats::key::<Bf16>(keys, position, key),
                KeyValueNumber::Int8 => bytes::key(keys, self.positions, position, key),
            }
            let products = query[head * self.width..].iter().zip(&*key).map(|(query, key)| query * key);
            *score = scale * products.sum::<f32>();
        }
    }
}

/// As [`KeyValues::attend`], where different rows of queries see different keys and values: `source` says, for each number below
/// `sources`, what which rows see.
///
/// *Panics*: if a slice is too short, or heads differ.
pub fn attend_each<'a>(
    pool: &ThreadPool,
    sources: usize,
    source: impl Fn(usize) -> (&'a KeyValues, Range<usize>) + Sync,
    queries: Activations<'_>,
    out: &mut [f32],
    workspace: &mut Workspace,
) {
    if sources == 0 {
        return;
    }
    let (heads, width) = (source(0).0.heads, source(0).0.width);
    let d_model = heads * width;
    queries.check(d_model);
    let (mut scratch, mut longest, mut rows) = (0, 0, 0);
    for (key_values, range) in (0..sources).map(&source) {
        assert!(key_values.heads == heads && key_values.width == width, "heads differ");
        // Every row is of one source, so that no two tasks write the same.
        assert_eq!(range.start, rows, "the rows of sources follow each other");
        (scratch, longest, rows) = (scratch.max(key_values.sizes().scratch), longest.max(range.len()), range.end);
    }
    assert!(rows <= queries.rows, "sources have more rows than there are");
    workspace.parts.reserve(pool.threads(), scratch);
    let out = Out::new(out, rows, d_model, d_model);
    let parts = &workspace.parts;
    let blocks = longest.div_ceil(TASK_QUERIES);
    pool.run(sources * heads * blocks, |task, thread| {
        let (key_values, rows) = source(task / (heads * blocks));
        let (head, block) = (task / blocks % heads, task % blocks);
        let first = rows.start + block * TASK_QUERIES;
        if first >= rows.end {
            return;
        }
        let sizes = key_values.sizes();
        let mut scratch = parts.of(thread);
        let work = &mut Work {
            keys: key_values.keys_of(head, sizes),
            values: &key_values.values.as_slice()[head * sizes.values..][..sizes.values],
            width,
            positions: key_values.positions,
            queries,
            rows: first..rows.end.min(first + TASK_QUERIES),
            at: head * width,
            out,
            scratch: scratch.as_mut_slice(),
        };
        // SAFETY: the level was detected; every task has rows and columns of its own.
        unsafe {
            match key_values.number {
                KeyValueNumber::F32 => floats::attend::<F32>(key_values.level, work),
                KeyValueNumber::Bf16 => floats::attend::<Bf16>(key_values.level, work),
                KeyValueNumber::Int8 => bytes::attend(key_values.level, work),
            }
        }
    });
}

/// Scores of a tile of queries on whole panels of keys: `scores = starts + queries x keys`.
///
/// *Shape*: `queries` `[count, words]` and `scores` `[count, keys]`, each with the distance of its rows; `panels` `[words, 32]`, one
/// after the other; `starts` `[keys]`.
///
/// # Safety
/// The CPU has the instructions of `D`.
#[inline(always)]
unsafe fn score<D: Dot>(
    count: usize,
    (queries, query_stride): (&[u32], usize),
    words: usize,
    panels: &[u32],
    starts: &[D::Sum],
    (scores, score_stride): (&mut [D::Sum], usize),
) {
    let keys = panels.len() / words.max(1);
    assert!(count > 0 && queries.len() >= (count - 1) * query_stride + words);
    assert!(starts.len() >= keys && keys.is_multiple_of(PANEL) && scores.len() >= (count - 1) * score_stride + keys);
    for (panel, key) in panels.chunks_exact(PANEL * words).zip((0..).step_by(PANEL)) {
        // SAFETY: the slices hold that many queries, starts and scores, and the panel is whole.
        unsafe {
            let tile = Tile {
                rows: queries.as_ptr(),
                row_stride: query_stride,
                words,
                panel: panel.as_ptr(),
                start: starts[key..].as_ptr(),
                start_stride: 0,
                out: scores[key..].as_mut_ptr(),
                out_stride: score_stride,
            };
            tile_of::<D>(count, tile);
        }
    }
}

/// Packed words, written by several threads at places that do not overlap.
#[derive(Clone, Copy)]
struct Cells {
    pointer: *mut u32,
    length: usize,
}

// SAFETY: it is made from an exclusive borrow, and every task writes a range of its own.
unsafe impl Sync for Cells {}

impl Cells {
    fn new(words: &mut [u32]) -> Self {
        Self { pointer: words.as_mut_ptr(), length: words.len() }
    }

    /// # Safety
    /// Nobody else uses this range meanwhile.
    unsafe fn range<'a>(self, start: usize, count: usize) -> &'a mut [u32] {
        assert!(start + count <= self.length);
        // SAFETY: within the slice, by the assertion, and nobody else's, by the caller's word.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(start), count) }
    }
}
/// Some queries of one head.
struct Work<'a> {
    keys: &'a [u32],
    values: &'a [u32],
    width: usize,
    positions: usize,
    queries: Activations<'a>,
    rows: Range<usize>,
    /// First column of the head.
    at: usize,
    out: Out,
    scratch: &'a mut [u32],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::tests::{pool, values};

    fn oracle(qkv: &[f32], positions: usize, heads: usize, width: usize) -> Vec<f32> {
        let d_model = heads * width;
        let at = |which: usize, position: usize, head: usize, column: usize| {
            f64::from(qkv[position * 3 * d_model + which * d_model + head * width + column])
        };
        let mut out = vec![0.0; positions * d_model];
        for head in 0..heads {
            for query in 0..positions {
                let scores: Vec<f64> = (0..positions)
                    .map(|key| {
                        let dot: f64 =
                            (0..width).map(|column| at(0, query, head, column) * at(1, key, head, column)).sum();
                        (dot / (width as f64).sqrt()).exp()
                    })
                    .collect();
                let total: f64 = scores.iter().sum();
                for column in 0..width {
                    let sum: f64 = scores.iter().enumerate().map(|(key, score)| score * at(2, key, head, column)).sum();
                    out[query * d_model + head * width + column] = (sum / total) as f32;
                }
            }
        }
        out
    }

    #[test]
    fn every_position_attends_to_every_other() {
        let shapes = [
            (1, 1, 8),
            (9, 2, 8),
            (7, 2, 64),
            (48, 3, 16),
            (49, 2, 64),
            (131, 1, 64),
            (255, 1, 40),
            (513, 2, 33),
            (290, 1, 7),
        ];
        for (positions, heads, width) in shapes {
            if cfg!(miri) && positions * heads * width > 200 {
                continue;
            }
            let d_model = heads * width;
            let qkv: Vec<f32> = values(positions * 3 * d_model, 5).iter().map(|value| value * 3.0).collect();
            let expected = oracle(&qkv, positions, heads, width);
            // A weight of the softmax errs by a 256th and so does a value; most of it averages out. With AVX2 bytes have a bit
            // less.
            for (number, tolerance) in
                [(KeyValueNumber::F32, 1e-5), (KeyValueNumber::Bf16, 0.05), (KeyValueNumber::Int8, 0.15)]
            {
                let (mut packed, mut workspace) = (KeyValues::new(number, heads, width), Workspace::new());
                // Longer ones before leave traces that must not be seen.
                let before = if cfg!(miri) { 40 } else { 700 };
                let nothing = vec![f32::NAN; before * d_model];
                packed.fill(&pool(), &nothing, &nothing, d_model, before);
                packed.fill(&pool(), &qkv[d_model..], &qkv[2 * d_model..], 3 * d_model, positions);
                let queries = Activations { data: &qkv, rows: positions, stride: 3 * d_model, norm: None };
                for _ in 0..2 {
                    let mut out = vec![f32::NAN; positions * d_model];
                    packed.attend(&pool(), queries, &mut out, &mut workspace);
                    let largest = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(
                        largest < tolerance,
                        "{number:?}, {positions} positions, {heads} heads of {width}: {largest}"
                    );
                }
            }
        }
    }

    #[test]
    fn scores_are_those_of_the_definition() {
        let (positions, width) = (if cfg!(miri) { 5 } else { 70 }, 64);
        let qkv = values(positions * 3 * 2 * width, 8);
        for (number, tolerance) in
            [(KeyValueNumber::F32, 1e-5), (KeyValueNumber::Bf16, 0.02), (KeyValueNumber::Int8, 0.02)]
        {
            let mut packed = KeyValues::new(number, 2, width);
            packed.fill(&pool(), &qkv[2 * width..], &qkv[4 * width..], 6 * width, positions);
            let mut scores = vec![f32::NAN; positions];
            packed.scores(&qkv[..2 * width], 1, &mut scores);
            for (position, score) in scores.iter().enumerate() {
                let key = &qkv[position * 6 * width + 3 * width..][..width];
                let dot: f32 = qkv[width..2 * width].iter().zip(key).map(|(a, b)| a * b).sum();
                assert!((score - dot / 8.0).abs() < tolerance);
            }
        }
    }

    #[test]
    fn a_cached_query_equals_a_row_of_the_whole() {
        for (positions, heads, width) in [(1, 2, 8), (5, 2, 8), (37, 2, 64), (300, 3, 40)] {
            if cfg!(miri) && positions * heads * width > 200 {
                continue;
            }
            let d_model = heads * width;
            let qkv: Vec<f32> = values(positions * 3 * d_model, 6).iter().map(|value| value * 3.0).collect();
            let expected = oracle(&qkv, positions, heads, width);
            let room = positions + 3;
            let cache = |from: usize| {
                let mut cache = vec![f32::NAN; heads * room * width];
                for (position, row) in qkv.chunks_exact(3 * d_model).enumerate() {
                    for (head, values) in row[from..from + d_model].chunks_exact(width).enumerate() {
                        cache[(head * room + position) * width..][..width].copy_from_slice(values);
                    }
                }
                cache
            };
            let (keys, values) = (cache(d_model), cache(2 * d_model));
            let queries = Activations { data: &qkv, rows: positions, stride: 3 * d_model, norm: None };
            let mut out = vec![f32::NAN; positions * d_model];
            let whole = |_| Cached { keys: &keys, values: &values, room, visible: positions };
            attend_cached(&pool(), heads, queries, whole, &mut out, &mut Workspace::new());
            let largest = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 1e-5, "{largest}");
        }
    }
}
