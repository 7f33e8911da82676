//! ggml's quantised blocks, written out plainly, to make files of.
//!
//! *Source*: <https://github.com/ggml-org/ggml/blob/v0.9.4/src/ggml-quants.c>

use amanuensis_whisper::Dtype;
use half::f16;

const BLOCK: usize = 32;

/// Values in whole blocks of 32 as one of the quantised types; 16-bit and 32-bit floats too, for the sake of one call.
///
/// *Panics*: if they are not whole blocks.
pub fn quantise(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    match dtype {
        Dtype::F32 => return values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Dtype::F16 => return values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
        Dtype::Bf16 => return values.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect(),
        _ => {}
    }
    let (blocks, rest) = values.as_chunks::<BLOCK>();
    assert!(rest.is_empty(), "quantised rows are whole blocks");
    let mut out = Vec::with_capacity(values.len() * 9 / 8);
    for block in blocks {
        let least = block.iter().copied().fold(f32::INFINITY, f32::min);
        let most = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // The value of largest magnitude, with its sign: the first of equals.
        let widest =
            block.iter().fold(0.0_f32, |widest, value| if value.abs() > widest.abs() { *value } else { widest });
        let levels = levels(dtype);
        let (scale, offset) = match dtype {
            Dtype::Q4_0 | Dtype::Q5_0 => (widest / -((levels + 1) as f32 / 2.0), None),
            Dtype::Q4_1 | Dtype::Q5_1 => ((most - least) / levels as f32, Some(least)),
            _ => (widest.abs() / 127.0, None),
        };
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        out.extend(f16::from_f32(scale).to_le_bytes());
        out.extend(offset.iter().flat_map(|offset| f16::from_f32(*offset).to_le_bytes()));
        if dtype == Dtype::Q8_0 {
            out.extend(block.iter().map(|value| (value * inverse).round() as i8 as u8));
            continue;
        }
        let quants = block.map(|value| {
            let steps = match offset {
                Some(least) => (value - least) * inverse + 0.5,
                None => value * inverse + (levels + 1) as f32 / 2.0 + 0.5,
            };
            (steps as u8).min(levels)
        });
        if levels == 31 {
            let high = (0..BLOCK).fold(0_u32, |bits, index| bits | u32::from(quants[index] >> 4) << index);
            out.extend(high.to_le_bytes());
        }
        out.extend((0..BLOCK / 2).map(|index| quants[index] & 15 | (quants[index + BLOCK / 2] & 15) << 4));
    }
    out
}

fn levels(dtype: Dtype) -> u8 {
    if matches!(dtype, Dtype::Q5_0 | Dtype::Q5_1) { 31 } else { 15 }
}

/// What [`quantise`] left of the values.
///
/// *Panics*: if the bytes are not whole blocks.
pub fn dequantise(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let half = |block: &[u8], at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    let block_bytes = match dtype {
        Dtype::F32 => 4,
        Dtype::F16 | Dtype::Bf16 => 2,
        Dtype::Q4_0 => 18,
        Dtype::Q4_1 => 20,
        Dtype::Q5_0 => 22,
        Dtype::Q5_1 => 24,
        Dtype::Q8_0 => 34,
    };
    assert!(bytes.len().is_multiple_of(block_bytes), "quantised rows are whole blocks");
    let mut out = Vec::new();
    for block in bytes.chunks_exact(block_bytes) {
        match dtype {
            Dtype::F32 => out.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
            Dtype::F16 => out.push(half(block, 0)),
            Dtype::Bf16 => out.push(half::bf16::from_le_bytes([block[0], block[1]]).to_f32()),
            Dtype::Q8_0 => out.extend(block[2..].iter().map(|byte| f32::from(*byte as i8) * half(block, 0))),
            Dtype::Q4_0 | Dtype::Q4_1 | Dtype::Q5_0 | Dtype::Q5_1 => {
                let has_offset = matches!(dtype, Dtype::Q4_1 | Dtype::Q5_1);
                let has_high = matches!(dtype, Dtype::Q5_0 | Dtype::Q5_1);
                let nibbles = &block[block_bytes - BLOCK / 2..];
                let high = &block[2 + 2 * usize::from(has_offset)..];
                for index in 0..BLOCK {
                    let byte = nibbles[index % (BLOCK / 2)];
                    let mut steps = i32::from(if index < BLOCK / 2 { byte & 15 } else { byte >> 4 });
                    if has_high {
                        steps += 16 * i32::from(high[index / 8] >> (index % 8) & 1);
                    }
                    out.push(if has_offset {
                        steps as f32 * half(block, 0) + half(block, 2)
                    } else {
                        (steps - if has_high { 16 } else { 8 }) as f32 * half(block, 0)
                    });
                }
            }
        }
    }
    out
}
