//! Attention, for the encoder (every position on every other) and for the decoder (few queries on cached keys and values).

use crate::elementwise::exponentials;
use crate::level::per_level;
use crate::matrix::{Activations, Epilogue, WeightMatrix};
use crate::{PackedF32, ThreadPool};

/// Queries whose scores are held at a time: with 1500 keys they fill a good part of the second-level cache, no more.
const QUERIES: usize = 48;

/// Attention of `[positions, heads * head_dim]` queries on as many keys and values. Holds its scratch, so that nothing is
/// allocated once the longest window has been through. No `[positions, positions]` matrix exists, only some rows of it.
#[derive(Debug)]
pub struct Attention {
    heads: usize,
    head_dim: usize,
}

impl Attention {
    /// Attention with this many heads of this width.
    pub fn new(heads: usize, head_dim: usize) -> Self {
        Self { heads, head_dim }
    }

    /// `softmax(q k^T / sqrt(head_dim)) v` for each head.
    ///
    /// *Shape*: `qkv` `[positions, 3 * heads * head_dim]` (queries, keys, values), `out` `[positions, heads * head_dim]`.
    ///
    /// *Panics*: if a slice is too short.
    pub fn encode(&self, pool: &ThreadPool, qkv: &[f32], positions: usize, out: &mut [f32]) {
        let (heads, width) = (self.heads, self.head_dim);
        let d_model = heads * width;
        let row = 3 * d_model;
        assert!(qkv.len() >= positions * row && out.len() >= positions * d_model);
        let factor = (width as f32).sqrt().recip();
        let alone = ThreadPool::new(std::num::NonZeroUsize::MIN);
        let shared = SharedOut(out.as_mut_ptr());
        pool.run(heads, |head| {
            let shared = &shared;
            let at = |which: usize, position: usize| position * row + which * d_model + head * width;
            let keys = PackedF32::pack(positions, width, |key, out| out.copy_from_slice(&qkv[at(1, key)..][..width]));
            let values = PackedF32::pack(width, positions, |column, out| {
                for (key, out) in out.iter_mut().enumerate() {
                    *out = qkv[at(2, key) + column];
                }
            });
            let mut scores = vec![0.0; QUERIES * positions];
            let mut weighted = vec![0.0; QUERIES * width];
            let mut none = Vec::new();
            for first in (0..positions).step_by(QUERIES) {
                let count = QUERIES.min(positions - first);
                let queries = Activations { data: &qkv[at(0, first)..], rows: count, stride: row };
                let scores = &mut scores[..count * positions];
                keys.multiply(&alone, queries, Epilogue::default(), scores, positions, &mut none);
                let totals = exponential_rows(scores, positions, factor);
                let weighted = &mut weighted[..count * width];
                values.multiply(
                    &alone,
                    Activations::new(scores, positions),
                    Epilogue::default(),
                    weighted,
                    width,
                    &mut none,
                );
                for (index, (weighted, total)) in weighted.chunks_exact(width).zip(totals).enumerate() {
                    let start = (first + index) * d_model + head * width;
                    // SAFETY: this head's columns of this row, which no other task writes; within `out` by the assertion.
                    let out = unsafe { std::slice::from_raw_parts_mut(shared.0.add(start), width) };
                    for (out, value) in out.iter_mut().zip(weighted) {
                        *out = value / total;
                    }
                }
            }
        });
    }
}

struct SharedOut(*mut f32);

// SAFETY: every task writes the columns of its own head.
unsafe impl Sync for SharedOut {}

per_level! {
    /// Exponentials of every row, not yet divided by their sums, which are returned.
    fn exponential_rows(scores: &mut [f32], width: usize, factor: f32) -> [f32; QUERIES] {
        let mut totals = [1.0; QUERIES];
        for (row, total) in scores.chunks_exact_mut(width).zip(&mut totals) {
            *total = exponentials(row, factor);
        }
        totals
    }
}

per_level! {
    /// Attention of one query on cached keys and values, for one head.
    ///
    /// *Shape*: `query` and `out` `[head_dim]`; `keys` and `values` rows of `head_dim` values, `stride` apart; `scores` `[count]`
    /// is scratch, and holds the softmax afterwards.
    pub fn attend_cached(query: &[f32], keys: &[f32], values: &[f32], stride: usize, scores: &mut [f32], out: &mut [f32]) {
        let width = query.len();
        let factor = 1.0 / (width as f32).sqrt();
        for (position, score) in scores.iter_mut().enumerate() {
            let key = &keys[position * stride..position * stride + width];
            let mut lanes = [0.0_f32; 16];
            let (query_chunks, query_rest) = query.as_chunks::<16>();
            let (key_chunks, key_rest) = key.as_chunks::<16>();
            for (query, key) in query_chunks.iter().zip(key_chunks) {
                for ((lane, query), key) in lanes.iter_mut().zip(query).zip(key) {
                    *lane += query * key;
                }
            }
            let rest: f32 = query_rest.iter().zip(key_rest).map(|(query, key)| query * key).sum();
            *score = lanes.iter().sum::<f32>() + rest;
        }
        let total = exponentials(scores, factor);
        let inverse = 1.0 / total;
        out.fill(0.0);
        for (position, score) in scores.iter_mut().enumerate() {
            *score *= inverse;
            let value = &values[position * stride..position * stride + width];
            for (out, value) in out.iter_mut().zip(value) {
                *out += *score * value;
            }
        }
    }
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
        for (positions, heads, width) in [(1, 1, 8), (7, 2, 64), (48, 3, 16), (49, 2, 64), (131, 1, 64)] {
            let qkv: Vec<f32> = values(positions * 3 * heads * width, 5).iter().map(|value| value * 3.0).collect();
            let mut out = vec![f32::NAN; positions * heads * width];
            Attention::new(heads, width).encode(&pool(), &qkv, positions, &mut out);
            let expected = oracle(&qkv, positions, heads, width);
            let largest = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 1e-5, "{positions} positions, {heads} heads of {width}: {largest}");
        }
    }

    #[test]
    fn a_cached_query_equals_a_row_of_the_whole() {
        let (positions, width) = (37, 64);
        let qkv: Vec<f32> = values(positions * 3 * width, 6).iter().map(|value| value * 3.0).collect();
        let expected = oracle(&qkv, positions, 1, width);
        let (mut scores, mut out) = (vec![0.0; positions], vec![f32::NAN; width]);
        let query = &qkv[10 * 3 * width..][..width];
        attend_cached(query, &qkv[width..], &qkv[2 * width..], 3 * width, &mut scores, &mut out);
        let largest = out.iter().zip(&expected[10 * width..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-5, "{largest}");
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
