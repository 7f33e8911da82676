//! The array's work done by the CPU: the same numerics as the kernels in `aie/`, without their tiles.
//!
//! Operands are rounded to the multipliers' format, then multiplied and summed in 32-bit floats. Only the order of sums
//! differs from the kernels', so that results agree but for the last bit of a bfloat16; `tests/kernels.rs` compares them.

use std::sync::{Mutex, PoisonError};

use amanuensis_kernels::{
    Activations, Epilogue, Norm as LayerNorm, PackedF32, ThreadPool, WeightMatrix, Workspace, layer_norm,
};

use crate::instructions::Malformed;
use crate::number::{BLOCK, from_bf16, round_block, to_bf16};
use crate::program::{Attention, Buffer, Dispatch, Gemm, Norm, Place, Source};

/// Queries that are attended with at a time, for their scores to stay in the cache.
const QUERIES: usize = 48;

/// Why a dispatch was not carried out. On silicon each of these hangs or corrupts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The words are none of ours.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A dispatch reaches beyond a buffer.
    #[error("the {buffer:?} buffer has {bytes} bytes, and a dispatch reaches for byte {wanted}")]
    OutOfBounds {
        /// The buffer.
        buffer: Buffer,
        /// Its length.
        bytes: usize,
        /// One past the last byte that was wanted.
        wanted: usize,
    },
    /// A dispatch writes where it may only read.
    #[error("a dispatch writes into the {0:?} buffer, which is only read")]
    ReadOnly(Buffer),
}

/// The buffers of a dispatch.
#[derive(Debug)]
pub struct Buffers<'a> {
    /// Weights of the part.
    pub weights: &'a [u8],
    /// Intermediate results.
    pub workspace: &'a mut [u8],
    /// The caller's spectrogram.
    pub spectrogram: &'a [u8],
    /// The caller's result.
    pub result: &'a mut [u8],
}

impl Buffers<'_> {
    fn read(&self, place: Place, bytes: usize) -> Result<&[u8], Fault> {
        let all = match place.buffer {
            Buffer::Weights => self.weights,
            Buffer::Workspace => &*self.workspace,
            Buffer::Spectrogram => self.spectrogram,
            Buffer::Result => &*self.result,
        };
        let wanted = place.offset.saturating_add(bytes);
        all.get(place.offset..wanted).ok_or(Fault::OutOfBounds { buffer: place.buffer, bytes: all.len(), wanted })
    }

    fn write(&mut self, place: Place, bytes: usize) -> Result<&mut [u8], Fault> {
        let all = match place.buffer {
            Buffer::Workspace => &mut *self.workspace,
            Buffer::Result => &mut *self.result,
            Buffer::Weights | Buffer::Spectrogram => return Err(Fault::ReadOnly(place.buffer)),
        };
        let (wanted, length) = (place.offset.saturating_add(bytes), all.len());
        all.get_mut(place.offset..wanted).ok_or(Fault::OutOfBounds { buffer: place.buffer, bytes: length, wanted })
    }

    fn floats(&self, offset: usize, count: usize) -> Result<Vec<f32>, Fault> {
        let bytes = self.read(Place { buffer: Buffer::Weights, offset }, count * 4)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

/// Carries out dispatches, with memory that stays.
#[derive(Debug)]
pub struct Executor {
    pool: ThreadPool,
    a: Vec<f32>,
    out: Vec<f32>,
}

impl Executor {
    /// An executor that works on this pool.
    pub fn new(pool: ThreadPool) -> Self {
        Self { pool, a: Vec::new(), out: Vec::new() }
    }

    /// Carries out what `words` describe.
    ///
    /// # Errors
    /// [`Fault`]; buffers may then hold anything.
    pub fn run(&mut self, words: &[u32], buffers: &mut Buffers<'_>) -> Result<(), Fault> {
        match Dispatch::decode(words)? {
            Dispatch::Gemm(gemm) => self.gemm(&gemm, buffers),
            Dispatch::Norm(norm) => self.norm(&norm, buffers),
            Dispatch::Attention(attention) => self.attention(&attention, buffers),
        }
    }

    fn gemm(&mut self, gemm: &Gemm, buffers: &mut Buffers<'_>) -> Result<(), Fault> {
        let Gemm { rows, layout, .. } = *gemm;
        let (n, k) = (layout.n, layout.padded_k());
        gather(&gemm.source, buffers, rows, layout.k, k, &mut self.a)?;
        for row in self.a[..rows * k].chunks_exact_mut(k) {
            layout.format.round(row, layout.tile.k);
        }
        let packed = buffers.read(Place { buffer: Buffer::Weights, offset: gemm.weights }, layout.bytes())?;
        let weights = PackedF32::pack(n, k, |output, out| layout.unpack(packed, output, out));
        let bias = buffers.floats(gemm.bias, n)?;
        grow(&mut self.out, rows * n);
        let epilogue = Epilogue { bias: Some(&bias), gelu: gemm.gelu, accumulate: false };
        let a = Activations::new(&self.a[..rows * k], k);
        weights.multiply(&self.pool, a, epilogue, &mut self.out, n, &mut Workspace::new());
        let values = &mut self.out[..rows * n];
        if let Some(place) = gemm.residual {
            let residual = buffers.read(place, rows * n * 2)?;
            for (value, bytes) in values.iter_mut().zip(residual.as_chunks::<2>().0) {
                *value += from_bf16(u16::from_le_bytes(*bytes));
            }
        }
        store(values, buffers.write(gemm.out, rows * n * 2)?);
        Ok(())
    }

    fn norm(&mut self, norm: &Norm, buffers: &mut Buffers<'_>) -> Result<(), Fault> {
        let count = norm.rows * norm.width;
        grow(&mut self.a, count);
        load(buffers.read(norm.source, count * 2)?, &mut self.a[..count]);
        let weights = buffers.floats(norm.weights, 2 * norm.width)?;
        let (scale, shift) = weights.split_at(norm.width);
        grow(&mut self.out, count);
        layer_norm(&self.pool, &self.a[..count], LayerNorm { scale, shift }, &mut self.out[..count]);
        let values = &self.out[..count];
        if norm.wide {
            let out = buffers.write(norm.out, count * 4)?;
            for (bytes, value) in out.as_chunks_mut::<4>().0.iter_mut().zip(values) {
                *bytes = value.to_le_bytes();
            }
        } else {
            store(values, buffers.write(norm.out, count * 2)?);
        }
        Ok(())
    }

    fn attention(&mut self, attention: &Attention, buffers: &mut Buffers<'_>) -> Result<(), Fault> {
        let Attention { rows, heads, head, .. } = *attention;
        let width = heads * head;
        grow(&mut self.a, rows * 3 * width);
        let qkv = &mut self.a[..rows * 3 * width];
        load(buffers.read(attention.qkv, rows * 3 * width * 2)?, qkv);
        // Queries and keys are summed over the head's values, so their blocks lie along the row as it is.
        for row in qkv.chunks_exact_mut(3 * width) {
            row[..2 * width].as_chunks_mut::<BLOCK>().0.iter_mut().for_each(round_block);
        }
        let qkv = &*qkv;
        let results: Vec<Mutex<Vec<f32>>> = (0..heads).map(|_| Mutex::default()).collect();
        self.pool.run(heads, |index, _| {
            let result = attend(qkv, rows, index * head, head, width);
            *results[index].lock().unwrap_or_else(PoisonError::into_inner) = result;
        });
        grow(&mut self.out, rows * width);
        let out = &mut self.out[..rows * width];
        for (index, result) in results.into_iter().enumerate() {
            let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
            for (row, values) in out.chunks_exact_mut(width).zip(result.chunks_exact(head)) {
                row[index * head..][..head].copy_from_slice(values);
            }
        }
        store(out, buffers.write(attention.out, rows * width * 2)?);
        Ok(())
    }
}

/// One head: `softmax(q k^T / sqrt(head)) v`.
///
/// The exponentials are powers of two relative to the largest exponent rounded up to a whole number, so that a kernel which sees
/// the keys piece by piece rescales by powers of two, without error, and gets the same blocks.
fn attend(qkv: &[f32], rows: usize, at: usize, head: usize, width: usize) -> Vec<f32> {
    let (alone, mut workspace) = (ThreadPool::new(std::num::NonZeroUsize::MIN), Workspace::new());
    let row = 3 * width;
    let keys = PackedF32::pack(rows, head, |key, out| out.copy_from_slice(&qkv[key * row + width + at..][..head]));
    // Weighted values are summed over keys: eight neighbouring keys make a block.
    let padded = rows.next_multiple_of(BLOCK);
    let values = PackedF32::pack(head, padded, |column, out| {
        out.fill(0.0);
        for (key, out) in out[..rows].iter_mut().enumerate() {
            *out = qkv[key * row + 2 * width + at + column];
        }
        out.as_chunks_mut::<BLOCK>().0.iter_mut().for_each(round_block);
    });
    let factor = std::f32::consts::LOG2_E / (head as f32).sqrt();
    let mut result = vec![0.0; rows * head];
    let mut scores = vec![0.0; QUERIES * padded];
    for first in (0..rows).step_by(QUERIES) {
        let count = QUERIES.min(rows - first);
        let queries = Activations { data: &qkv[first * row + at..], rows: count, stride: row, norm: None };
        keys.multiply(&alone, queries, Epilogue::default(), &mut scores, padded, &mut workspace);
        let mut sums = [0.0; QUERIES];
        for (scores, sum) in scores.chunks_exact_mut(padded).zip(&mut sums).take(count) {
            scores[rows..].fill(f32::NEG_INFINITY);
            *sum = powers(scores, factor);
            scores.as_chunks_mut::<BLOCK>().0.iter_mut().for_each(round_block);
        }
        let out = &mut result[first * head..][..count * head];
        let weights = Activations::new(&scores[..count * padded], padded);
        values.multiply(&alone, weights, Epilogue::default(), out, head, &mut workspace);
        for (out, sum) in out.chunks_exact_mut(head).zip(sums) {
            let inverse = 1.0 / sum;
            out.iter_mut().for_each(|value| *value *= inverse);
        }
    }
    result
}

/// Turns scores into bfloat16 powers of two, in place, and returns their sum.
fn powers(scores: &mut [f32], factor: f32) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 8];
    for chunk in scores.as_chunks::<8>().0 {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    let largest = (lanes.into_iter().fold(f32::NEG_INFINITY, f32::max) * factor).ceil();
    let mut sums = [0.0; 8];
    for chunk in scores.as_chunks_mut::<8>().0 {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *value = from_bf16(to_bf16(exp2(*value * factor - largest)));
            *sum += *value;
        }
    }
    sums.into_iter().sum()
}

/// 2^x for x from -126 to 1, to within 3e-6 of it; zero below.
#[inline(always)]
fn exp2(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x < -126.0 { -126.0 } else { x };
    let shifted = clamped + ROUND;
    let rest = (clamped - (shifted - ROUND)) * std::f32::consts::LN_2;
    let poly = 1.0 + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0 + rest * (1.0 / 24.0 + rest * (1.0 / 120.0)))));
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    if x < -126.0 { 0.0 } else { poly * f32::from_bits(power) }
}

/// Reads the rows of a product's left operand: `[rows, padded]`, the filling zero.
fn gather(
    source: &Source,
    buffers: &Buffers<'_>,
    rows: usize,
    k: usize,
    padded: usize,
    out: &mut Vec<f32>,
) -> Result<(), Fault> {
    let size = if source.wide { 4 } else { 2 };
    let count = source.rows * source.width;
    let bytes = buffers.read(source.place, count.saturating_mul(size))?;
    grow(out, rows * padded);
    for (row, out) in out[..rows * padded].chunks_exact_mut(padded).enumerate() {
        out.fill(0.0);
        let (start, lead) = (row * source.step * source.width, source.lead * source.width);
        // The window is `start - lead .. start - lead + k`, of which `0 .. count` exists.
        let skipped = lead.saturating_sub(start);
        let first = (start + skipped).saturating_sub(lead);
        let last = (start + k).saturating_sub(lead).min(count);
        if first >= last {
            continue;
        }
        let out = &mut out[skipped..][..last - first];
        let bytes = &bytes[first * size..last * size];
        if source.wide {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *out = f32::from_le_bytes(*bytes);
            }
        } else {
            load(bytes, out);
        }
    }
    Ok(())
}

fn load(bytes: &[u8], out: &mut [f32]) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *out = from_bf16(u16::from_le_bytes(*bytes));
    }
}

fn store(values: &[f32], out: &mut [u8]) {
    for (bytes, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
        *bytes = to_bf16(*value).to_le_bytes();
    }
}

fn grow(buffer: &mut Vec<f32>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_near_the_libraries() {
        for step in -1260..10 {
            let x = step as f32 / 10.0 + 0.013;
            let expected = x.exp2();
            assert!((exp2(x) - expected).abs() <= expected * 3e-6, "{x}: {} {expected}", exp2(x));
        }
        assert_eq!(exp2(f32::NEG_INFINITY), 0.0);
        assert!(exp2(f32::NAN).is_nan());
    }

    #[test]
    fn a_dispatch_beyond_its_buffers_is_a_fault() {
        let place = |buffer, offset| Place { buffer, offset };
        let norm = Norm {
            rows: 4,
            width: 8,
            source: place(Buffer::Workspace, 0),
            weights: 0,
            out: place(Buffer::Result, 0),
            wide: true,
        };
        let mut executor = Executor::new(ThreadPool::new(std::num::NonZeroUsize::MIN));
        let run = |executor: &mut Executor, norm: Norm, workspace: usize| {
            let (mut workspace, mut result) = (vec![0; workspace], vec![0; 128]);
            let mut buffers =
                Buffers { weights: &[0; 64], workspace: &mut workspace, spectrogram: &[], result: &mut result };
            executor.run(&Dispatch::Norm(norm).encode(), &mut buffers)
        };
        assert_eq!(run(&mut executor, norm, 64), Ok(()));
        assert!(matches!(run(&mut executor, norm, 63), Err(Fault::OutOfBounds { wanted: 64, .. })));
        let wrong = Norm { out: place(Buffer::Weights, 0), ..norm };
        assert_eq!(run(&mut executor, wrong, 64), Err(Fault::ReadOnly(Buffer::Weights)));
    }
}
