//! The decoder's attention on itself: queries on keys and values that grow token by token, in 32-bit floats as they were made.

use crate::ThreadPool;
use crate::elementwise::{add_weighted, dot, largest, powers};
use crate::level::per_level;
use crate::matrix::{Activations, Out};
use crate::words::{Workspace, floats_mut};

/// What a query sees of what was decoded before it. The positions of a head follow each other, so that they are fetched ahead.
#[derive(Debug, Clone, Copy)]
pub struct Cached<'a> {
    /// `[heads, room, width]`
    pub keys: &'a [f32],
    /// `[heads, room, width]`
    pub values: &'a [f32],
    /// Positions that there is room for.
    pub room: usize,
    /// Positions that the query sees: the first ones.
    pub visible: usize,
}

/// Cached values below which all heads of a query are done sooner than a second thread joins in.
const WORTH_A_THREAD_VALUES: usize = 1 << 15;

/// `softmax(q k^T / sqrt(width)) v` for each head, on keys and values that grow: the decoder's attention on itself.
///
/// *Shape*: `queries` and `out` `[rows, heads * width]`; `cached(row)` is what that row sees.
///
/// *Panics*: if a slice is too short.
pub fn attend_cached<'a>(
    pool: &ThreadPool,
    heads: usize,
    queries: Activations<'_>,
    cached: impl Fn(usize) -> Cached<'a> + Sync,
    out: &mut [f32],
    workspace: &mut Workspace,
) {
    let rows = queries.rows;
    let d_model = out.len() / rows.max(1);
    let width = d_model / heads;
    queries.check(d_model);
    let most = (0..rows).map(|row| cached(row).visible).max().unwrap_or(0);
    workspace.parts.reserve(pool.threads(), most);
    let parts = &workspace.parts;
    let out = Out::new(out, rows, d_model, d_model);
    let heads_of_a_task = if rows * most * d_model < WORTH_A_THREAD_VALUES { heads } else { 1 };
    let tasks_of_a_row = heads / heads_of_a_task;
    let task = |task: usize, thread| {
        let row = task / tasks_of_a_row;
        let Cached { keys, values, room, visible } = cached(row);
        let mut scores = parts.of(thread);
        let scores = &mut floats_mut(scores.as_mut_slice())[..visible];
        for head in (0..heads_of_a_task).map(|index| task % tasks_of_a_row * heads_of_a_task + index) {
            let at = head * width;
            let query = &queries.row(row, d_model)[at..at + width];
            let [keys, values] = [keys, values].map(|all| &all[head * room * width..][..visible * width]);
            // SAFETY: every task has rows and heads of its own.
            attend_one(query, keys, values, scores, unsafe { out.cells(row, at, width) });
        }
    };
    if tasks_of_a_row == 1 {
        (0..rows).for_each(|index| task(index, 0));
    } else {
        pool.run(rows * tasks_of_a_row, task);
    }
}

per_level! {
    /// Attention of one query on cached keys and values, for one head.
    ///
    /// *Shape*: `query` and `out` `[width]`; `keys` and `values` `[visible, width]`; `scores` `[visible]` is scratch.
    fn attend_one(query: &[f32], keys: &[f32], values: &[f32], scores: &mut [f32], out: &mut [f32]) {
        let width = query.len();
        let factor = std::f32::consts::LOG2_E / (width as f32).sqrt();
        out.fill(0.0);
        // SAFETY: passed on from the caller.
        unsafe {
            for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
                *score = dot::<V>(query, key);
            }
            let most = largest::<V>(scores) * factor;
            let total = powers::<V>(scores, factor, most);
            for (score, value) in scores.iter().zip(values.chunks_exact(width)) {
                add_weighted::<V>(score / total, value, out);
            }
        }
    }
}
