//! What every encoder has to do, whatever it runs on.

use amanuensis_pool::Pool;
use amanuensis_whisper::{BackendError, Encoder, MelView};
use anyhow::{Context, bail, ensure};

use crate::model::spectrogram;

/// Cosine of the angle between two results.
pub fn similarity(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Encodes one spectrogram.
///
/// # Errors
/// The encoder's.
pub fn encode(encoder: &mut dyn Encoder, mel: &[f32], frames: usize) -> anyhow::Result<Vec<f32>> {
    let dims = *encoder.dims();
    let view = MelView::by_frame(mel, frames, dims.n_mels).context("the spectrogram is too short")?;
    let mut out = vec![f32::NAN; view.positions() * dims.n_audio_state];
    encoder.encode(&[view], &mut [&mut out])?;
    Ok(out)
}

/// Puts an encoder to the test: against `reference`, to which its results must be as similar as `least` says.
///
/// # Errors
/// What it does wrong.
pub fn check(encoder: &mut dyn Encoder, reference: &mut dyn Encoder, least: f64) -> anyhow::Result<()> {
    let dims = *encoder.dims();
    ensure!(dims == *reference.dims(), "the two encoders are of different models");
    let full = 2 * dims.n_audio_ctx;

    // Windows of every length that could be a boundary, long and short in turn: nothing of the last one may remain.
    for frames in [full, 1, full - 1, 2, 3, full / 2, full / 4 + 1, full] {
        let mel = spectrogram(frames, dims.n_mels, frames as u64);
        let (found, expected) = (encode(encoder, &mel, frames)?, encode(reference, &mel, frames)?);
        let close = similarity(&found, &expected);
        ensure!(close >= least, "{frames} frames: similarity {close:.6} is below {least}");
        ensure!(encode(encoder, &mel, frames)? == found, "{frames} frames: the second result differs from the first");
    }

    // The same window lying otherwise.
    let frames = full / 2 + 1;
    let mel = spectrogram(frames, dims.n_mels, 7);
    let expected = encode(encoder, &mel, frames)?;
    let turned: Vec<f32> = (0..mel.len()).map(|at| mel[at % frames * dims.n_mels + at / frames]).collect();
    let view = MelView::by_bin(&turned, frames, dims.n_mels).context("it is long enough")?;
    let mut out = vec![f32::NAN; expected.len()];
    encoder.encode(&[view], &mut [&mut out])?;
    ensure!(out == expected, "a spectrogram by bins gives another result than one by frames");
    let pool = Pool::new("conformance", 2, 1 + (full * dims.n_mels).max(dims.n_audio_ctx * dims.n_audio_state));
    for unaligned in [0, 1] {
        let (mut from, mut to) = (pool.lease()?, pool.lease()?);
        from[unaligned..unaligned + mel.len()].copy_from_slice(&mel);
        let view = MelView::by_frame(&from[unaligned..], frames, dims.n_mels).context("it is long enough")?;
        let to = &mut to[unaligned..unaligned + expected.len()];
        to.fill(f32::NAN);
        encoder.encode(&[view], &mut [&mut *to])?;
        ensure!(to == expected, "buffers {unaligned} values beyond a page give another result");
    }

    // Several windows in a call.
    let mels = [spectrogram(9, dims.n_mels, 1), spectrogram(40, dims.n_mels, 2)];
    let apart = [encode(encoder, &mels[0], 9)?, encode(encoder, &mels[1], 40)?];
    let views = [MelView::by_frame(&mels[0], 9, dims.n_mels), MelView::by_frame(&mels[1], 40, dims.n_mels)];
    let [Some(first), Some(second)] = views else { bail!("they are long enough") };
    let mut together = [vec![f32::NAN; apart[0].len()], vec![f32::NAN; apart[1].len()]];
    let [one, two] = &mut together;
    encoder.encode(&[first, second], &mut [&mut one[..], &mut two[..]])?;
    ensure!(together == apart, "two windows in a call give other results than one after the other");

    // What does not fit is refused, and does no harm.
    let mut short = vec![0.0; dims.n_audio_state - 1];
    ensure!(
        matches!(encoder.encode(&[first], &mut [&mut short]), Err(BackendError::Shape { .. })),
        "a result that is too short is not refused"
    );
    ensure!(
        matches!(encoder.encode(&[first], &mut []), Err(BackendError::Shape { .. })),
        "fewer results than windows are not refused"
    );
    let long = spectrogram(full + 2, dims.n_mels, 3);
    let view = MelView::by_frame(&long, full + 2, dims.n_mels).context("it is long enough")?;
    let mut out = vec![0.0; (dims.n_audio_ctx + 1) * dims.n_audio_state];
    ensure!(
        matches!(encoder.encode(&[view], &mut [&mut out]), Err(BackendError::Shape { .. })),
        "a window longer than the model's is not refused"
    );
    ensure!(encode(encoder, &mels[0], 9)? == apart[0], "a refused call changes what follows");
    Ok(())
}
