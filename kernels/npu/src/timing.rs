//! How long the array would take, by a published model. A prediction: nothing of ours was measured on silicon.
//!
//! A product of `M x K x N` in array tiles of `4 m x 8 n` takes the longer of two times: computing, `2 M K N / (efficiency * peak)`,
//! and moving, `(M K N a / 8 n + M K N b / 4 m + M N c) / bandwidth` for elements of `a`, `b` and `c` bytes.
//!
//! *Source*: Taka et al., Striking the Balance, arXiv 2512.13282 (int8, bf16); Wang et al., Can Asymmetric Tile Buffering Be
//! Beneficial?, arXiv 2511.16041 (bfp16 weights).

use std::time::Duration;

use crate::design::{ATTENTION_TILE, COLUMNS, ROWS, Tile};
use crate::number::Format;
use crate::program::{Dispatch, Gemm, Program};

/// Multiplications and additions of a core in a cycle, in int8 and in bfp16.
const MACS_PER_CYCLE: f64 = 512.0;
/// Cycles in a second.
const CLOCK: f64 = 1.8e9;
/// Multiplications and additions of the array in a second: 29.49e12, 58.98 TOPS.
pub const PEAK_MACS: f64 = MACS_PER_CYCLE * CLOCK * (COLUMNS * ROWS) as f64;

/// Share of the peak that a core's inner loop is taken to reach. The publications have 0.88 for int8 and 0.9 for hand-tuned bfp16; ours
/// was never measured, so half the peak is assumed.
const EFFICIENCY: f64 = 0.5;

/// What a prediction assumes of the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Bytes that the array moves to and from memory in a second.
    pub bandwidth: f64,
    /// What a dispatch costs beside its work.
    pub dispatch: Duration,
    /// Whether attention is one dispatch; else scores and their softmax go through memory.
    pub fused_attention: bool,
}

impl Default for Machine {
    /// 45 GB/s, 50 microseconds a dispatch (as part of a list), attention fused.
    fn default() -> Self {
        Self { bandwidth: 45e9, dispatch: Duration::from_micros(50), fused_attention: true }
    }
}

/// What is predicted for one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Time from the first dispatch to the last result.
    pub time: Duration,
    /// Multiplications and additions that the model asks for.
    pub macs: f64,
    /// Dispatches.
    pub dispatches: usize,
}

impl Prediction {
    /// Share of the array's multipliers at work meanwhile.
    pub fn utilisation(&self) -> f64 {
        self.macs / (self.time.as_secs_f64() * PEAK_MACS)
    }
}

/// A product as the publications describe it.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// Rows, inner dimension, columns.
    pub size: [usize; 3],
    /// Tile of a core.
    pub tile: Tile,
    /// Bytes of an element: left, right, result.
    pub bytes: [f64; 3],
    /// Share of the peak that the inner loop reaches.
    pub efficiency: f64,
}

impl Product {
    /// Seconds, without the dispatch.
    pub fn seconds(&self, bandwidth: f64) -> f64 {
        let [m, k, n] = self.size.map(|side| side as f64);
        let [a, b, c] = self.bytes;
        let compute = m * k * n / (self.efficiency * PEAK_MACS);
        let columns = (COLUMNS * self.tile.n) as f64;
        let rows = (ROWS * self.tile.m) as f64;
        let moved = m * k * n * (a / columns + b / rows) + m * n * c;
        compute.max(moved / bandwidth)
    }
}

/// Predicts one window of `frames` frames.
pub fn predict(program: &Program, frames: usize, machine: &Machine) -> Prediction {
    let mut seconds = 0.0;
    let mut macs = 0.0;
    let mut dispatches = 0;
    for step in program.steps(frames) {
        dispatches += 1;
        match step.dispatch {
            Dispatch::Gemm(gemm) => {
                seconds += product(&gemm, program).seconds(machine.bandwidth);
                macs += gemm.rows as f64 * gemm.layout.k as f64 * gemm.layout.n as f64;
            }
            Dispatch::Norm(norm) => {
                let bytes = norm.rows * norm.width * (2 + if norm.wide { 4 } else { 2 });
                seconds += bytes as f64 / machine.bandwidth;
            }
            Dispatch::Attention(attention) => {
                let (rows, width) = (attention.rows as f64, (attention.heads * attention.head) as f64);
                let work = 2.0 * rows * rows * width;
                macs += work;
                let compute = work / (EFFICIENCY * PEAK_MACS);
                let queries_and_results = 2.0 * rows * width * 2.0;
                let moved = if machine.fused_attention {
                    // Keys and values pass once for all the queries that a column's cores hold.
                    let passes = (rows / (ROWS * ATTENTION_TILE.0) as f64).ceil();
                    queries_and_results + passes * 2.0 * rows * width * 2.0
                } else {
                    // Scores are written, read, written as probabilities and read again.
                    dispatches += 2;
                    queries_and_results + 2.0 * rows * width * 2.0 + 4.0 * attention.heads as f64 * rows * rows * 2.0
                };
                seconds += compute.max(moved / machine.bandwidth);
            }
        }
    }
    let time = Duration::from_secs_f64(seconds) + machine.dispatch * dispatches as u32;
    Prediction { time, macs, dispatches }
}

fn product(gemm: &Gemm, program: &Program) -> Product {
    let tile = program.tile();
    let rows = gemm.rows.next_multiple_of(ROWS * tile.m);
    let right = match program.format() {
        Format::Bfp16 => 9.0 / 8.0,
        Format::Int8 => 1.0,
    };
    let left = if gemm.source.wide { 4.0 } else { 2.0 };
    let result = if gemm.residual.is_some() { 4.0 } else { 2.0 };
    Product {
        size: [rows, gemm.layout.padded_k(), gemm.layout.padded_n()],
        tile,
        bytes: [left, right, result],
        efficiency: EFFICIENCY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Shape;

    /// Bandwidth at which the publications' own points lie: their machines ran in turbo mode.
    const PUBLISHED_BANDWIDTH: f64 = 57e9;

    #[test]
    fn published_products_are_within_15_per_cent() {
        let tile = |m, k, n| Tile { m, k, n };
        let points = [
            ("int8 to int8", 38.05, [4032, 4320, 4608], tile(144, 72, 144), [1.0, 1.0, 1.0], 0.88),
            ("int8 to int32", 24.74, [4224, 4224, 4608], tile(96, 64, 96), [1.0, 1.0, 4.0], 0.5),
            // The tile is the largest for which two buffers each and the result fit 64 KB.
            ("bf16 through bfp16", 14.71, [4224, 4224, 4608], tile(96, 56, 96), [2.0, 2.0, 2.0], 0.5),
            ("bf16 by bfp16", 24.6, [4096, 4096, 4096], tile(128, 64, 128), [2.0, 1.125, 2.0], 0.9),
        ];
        for (name, published, size, tile, bytes, efficiency) in points {
            let product = Product { size, tile, bytes, efficiency };
            let macs = size.iter().map(|side| *side as f64).product::<f64>();
            let tops = 2.0 * macs / product.seconds(PUBLISHED_BANDWIDTH) / 1e12;
            assert!((tops / published - 1.0).abs() < 0.15, "{name}: {tops:.2} TOPS predicted, {published} published");
        }
    }

    #[test]
    fn base_takes_what_was_worked_out_by_hand() {
        let shape = Shape { mels: 80, positions: 1500, width: 512, heads: 8, layers: 6 };
        let program = Program::new(shape, Format::Bfp16).expect("base fits");
        let fused = predict(&program, 3000, &Machine::default());
        assert!((fused.macs / 43.68e9 - 1.0).abs() < 0.01, "{}", fused.macs);
        assert_eq!(fused.dispatches, 2 + 6 * 7 + 1);
        let milliseconds = fused.time.as_secs_f64() * 1e3;
        assert!((6.0..14.0).contains(&milliseconds), "{milliseconds} ms");
        let apart = predict(&program, 3000, &Machine { fused_attention: false, ..Machine::default() });
        assert!(apart.time > fused.time * 2, "{:?} {:?}", apart.time, fused.time);
        let half = predict(&program, 1500, &Machine::default());
        assert!(half.time < fused.time);
    }
}
