//! A dispatch as 32-bit words.
//!
//! The words *describe* the dispatch: the simulated and the virtual NPU compute from them. The words for silicon come from
//! mlir-aie's compiler, are opaque, and stand in the same files with the same names; only the two counts that both have to carry
//! are known by their place, which the manifest states.

use crate::design::Tile;
use crate::number::Format;
use crate::program::{Attention, Buffer, Dispatch, Gemm, Norm, Place, Source};
use crate::weights::Layout;

/// First word: `AMNP`.
const MAGIC: u32 = u32::from_le_bytes(*b"AMNP");
/// Second word.
const VERSION: u32 = 1;
/// The word that holds the rows of the result.
pub const ROWS_WORD: usize = 3;
/// The word that holds the rows of a product's source.
pub const SOURCE_ROWS_WORD: usize = 4;
/// Twice the frames of the longest window.
const MOST_ROWS: usize = 1 << 14;
/// In the place of an offset: nothing.
const NONE: u32 = u32::MAX;

/// Why words are no dispatch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the instructions are none of ours: {0}")]
pub struct Malformed(&'static str);

impl Dispatch {
    /// The dispatch as words.
    pub fn encode(&self) -> Vec<u32> {
        let mut words = vec![MAGIC, VERSION];
        let mut put = |values: &[usize]| {
            // `Program::new` refuses what does not fit 32 bits.
            words.extend(values.iter().map(|value| u32::try_from(*value).unwrap_or(NONE)));
        };
        match self {
            Self::Gemm(gemm) => {
                let Gemm { rows, source, layout, weights, bias, gelu, residual, out } = *gemm;
                put(&[0, rows, source.rows]);
                put(&[buffer(source.place), source.place.offset, usize::from(source.wide)]);
                put(&[source.width, source.step, source.lead]);
                put(&[usize::from(layout.format == Format::Int8), layout.tile.m, layout.tile.k, layout.tile.n]);
                put(&[layout.n, layout.k, weights, bias, usize::from(gelu)]);
                put(&residual.map_or([0, NONE as usize], |place| [buffer(place), place.offset]));
                put(&[buffer(out), out.offset]);
            }
            Self::Norm(norm) => {
                let Norm { rows, width, source, weights, out, wide } = *norm;
                put(&[1, rows, width, buffer(source), source.offset, weights, buffer(out), out.offset]);
                put(&[usize::from(wide)]);
            }
            Self::Attention(attention) => {
                let Attention { rows, heads, head, qkv, out } = *attention;
                put(&[2, rows, heads, head, buffer(qkv), qkv.offset, buffer(out), out.offset]);
            }
        }
        words
    }

    /// The dispatch that words describe.
    ///
    /// # Errors
    /// [`Malformed`]: another magic number or version, too few words, or values that no dispatch has.
    pub fn decode(words: &[u32]) -> Result<Self, Malformed> {
        let mut reader = Reader { words, at: 0 };
        if reader.next()? != MAGIC as usize {
            return Err(Malformed("they begin with another number"));
        }
        if reader.next()? != VERSION as usize {
            return Err(Malformed("they are of another version"));
        }
        let kind = reader.next()?;
        let rows = reader.next()?;
        if rows > MOST_ROWS {
            return Err(Malformed("they ask for more rows than any window has"));
        }
        match kind {
            0 => {
                let source_rows = reader.next()?;
                if source_rows > MOST_ROWS {
                    return Err(Malformed("they read more rows than any window has"));
                }
                let place = reader.place()?;
                let wide = reader.flag()?;
                let [width, step, lead] = reader.array()?;
                let source = Source { place, wide, rows: source_rows, width, step, lead };
                let format = if reader.flag()? { Format::Int8 } else { Format::Bfp16 };
                let [m, k, n] = reader.array()?;
                if [m, k, n].iter().any(|side| *side == 0 || side % 8 != 0 || *side > 1 << 12) {
                    return Err(Malformed("a tile has an impossible size"));
                }
                let tile = Tile { m, k, n };
                let [n, k, weights, bias] = reader.array()?;
                if n == 0 || k == 0 || n > 1 << 16 || k > 1 << 16 || width > 1 << 16 || step > 2 || lead > 2 {
                    return Err(Malformed("a product has an impossible size"));
                }
                let layout = Layout { format, tile, n, k };
                let gelu = reader.flag()?;
                let residual = reader.place()?;
                let residual = (residual.offset != NONE as usize).then_some(residual);
                let out = reader.place()?;
                Ok(Self::Gemm(Gemm { rows, source, layout, weights, bias, gelu, residual, out }))
            }
            1 => {
                let width = reader.next()?;
                let source = reader.place()?;
                let weights = reader.next()?;
                let out = reader.place()?;
                let wide = reader.flag()?;
                if width == 0 || width > 1 << 16 {
                    return Err(Malformed("a normalisation has an impossible width"));
                }
                Ok(Self::Norm(Norm { rows, width, source, weights, out, wide }))
            }
            2 => {
                let [heads, head] = reader.array()?;
                let qkv = reader.place()?;
                let out = reader.place()?;
                if heads == 0 || heads > 64 || head == 0 || head % 8 != 0 || head > 64 {
                    return Err(Malformed("an attention has impossible heads"));
                }
                Ok(Self::Attention(Attention { rows, heads, head, qkv, out }))
            }
            _ => Err(Malformed("they ask for an unknown operation")),
        }
    }
}

fn buffer(place: Place) -> usize {
    match place.buffer {
        Buffer::Weights => 0,
        Buffer::Workspace => 1,
        Buffer::Spectrogram => 2,
        Buffer::Result => 3,
    }
}

struct Reader<'a> {
    words: &'a [u32],
    at: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<usize, Malformed> {
        let word = self.words.get(self.at).ok_or(Malformed("they end too early"))?;
        self.at += 1;
        Ok(*word as usize)
    }

    fn array<const N: usize>(&mut self) -> Result<[usize; N], Malformed> {
        let mut values = [0; N];
        for value in &mut values {
            *value = self.next()?;
        }
        Ok(values)
    }

    fn flag(&mut self) -> Result<bool, Malformed> {
        match self.next()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a flag is neither set nor clear")),
        }
    }

    fn place(&mut self) -> Result<Place, Malformed> {
        let buffer = match self.next()? {
            0 => Buffer::Weights,
            1 => Buffer::Workspace,
            2 => Buffer::Spectrogram,
            3 => Buffer::Result,
            _ => return Err(Malformed("they name a fifth buffer")),
        };
        Ok(Place { buffer, offset: self.next()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::program::{Program, Shape};

    #[test]
    fn every_step_survives_its_words() {
        let shape = Shape { mels: 80, positions: 1500, width: 512, heads: 8, layers: 2 };
        for format in [Format::Bfp16, Format::Int8] {
            for step in Program::new(shape, format).expect("base fits").steps(2999) {
                let words = step.dispatch.encode();
                assert_eq!(Dispatch::decode(&words), Ok(step.dispatch), "{}", step.name);
                assert_eq!(words[ROWS_WORD], if step.name == "conv1" { 2999 } else { 1500 });
                for short in 0..words.len() {
                    assert!(Dispatch::decode(&words[..short]).is_err());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_words_are_too_strange(mut words in prop::collection::vec(any::<u32>(), 0..40)) {
            let _ = Dispatch::decode(&words);
            for (word, value) in words.iter_mut().zip([MAGIC, VERSION]) {
                *word = value;
            }
            let _ = Dispatch::decode(&words);
        }
    }
}
