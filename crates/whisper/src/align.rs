//! When each word was spoken: dynamic time warping over the cross-attention of the alignment heads.
//!
//! *Source*: <https://github.com/openai/whisper/blob/v20250625/whisper/timing.py>

use crate::decode::DecodeError;
use crate::{Decoder, Dims, TokenId, Tokenizer};

/// Encoder positions in a second.
const POSITIONS_PER_SECOND: f64 = 50.0;
/// Width of the median filter over positions.
const MEDIAN_WIDTH: usize = 7;
const SENTENCE_ENDS: &str = ".。!！?？";
const PREPENDED: &str = "\"'“¿([{-";
const APPENDED: &str = "\"'.。,，!！?？:：”)]}、";

/// The words of a window.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    pub(crate) words: Vec<AlignedWord>,
    /// Median length of the words, at most 0.7 s.
    pub(crate) median_s: f64,
    /// Twice that: longer words are doubted.
    pub(crate) longest_s: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AlignedWord {
    pub(crate) text: String,
    /// Tokens of the word; of those that were merged into another none are left here, but they are counted there.
    pub(crate) tokens: usize,
    pub(crate) start_s: f64,
    pub(crate) end_s: f64,
    pub(crate) probability: f32,
}

/// The heads whose attention follows the sound, as (layer, head): known for the published models, else all of the upper half.
///
/// *Source*: `_ALIGNMENT_HEADS` of <https://github.com/openai/whisper/blob/v20250625/whisper/__init__.py>
pub fn alignment_heads(dims: &Dims) -> Vec<(usize, usize)> {
    #[rustfmt::skip]
    let known: &[(usize, usize)] = match (dims.n_text_layer, dims.n_text_state, dims.n_vocab) {
        (4, 384, 51_864) => &[(1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)],
        (4, 384, 51_865) => &[(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)],
        (6, 512, 51_864) => &[(3, 3), (4, 7), (5, 1), (5, 5), (5, 7)],
        (6, 512, 51_865) => &[(3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)],
        (12, 768, 51_864) => &[
            (6, 6), (7, 0), (7, 3), (7, 8), (8, 2), (8, 5), (8, 7), (9, 0), (9, 4), (9, 8), (9, 10), (10, 0), (10, 1),
            (10, 2), (10, 3), (10, 6), (10, 11), (11, 2), (11, 4),
        ],
        (12, 768, 51_865) => &[
            (5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5),
        ],
        (24, 1024, 51_864) => &[
            (11, 4), (14, 1), (14, 12), (14, 14), (15, 4), (16, 0), (16, 4), (16, 9), (17, 12), (17, 14), (18, 7),
            (18, 10), (18, 15), (20, 0), (20, 3), (20, 9), (20, 14), (21, 12),
        ],
        (24, 1024, 51_865) => &[(13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4)],
        // large-v2; large-v1 has the same dimensions and is not in use any more.
        (32, 1280, 51_865) => &[
            (10, 12), (13, 17), (16, 11), (16, 12), (16, 13), (17, 15), (17, 16), (18, 4), (18, 11), (18, 19), (19, 11),
            (21, 2), (21, 3), (22, 3), (22, 9), (22, 12), (23, 5), (23, 7), (23, 13), (25, 5), (26, 1), (26, 12),
            (27, 15),
        ],
        (32, 1280, 51_866) => &[
            (7, 0), (10, 17), (12, 18), (13, 12), (16, 1), (17, 14), (19, 11), (21, 4), (24, 1), (25, 6),
        ],
        (4, 1280, 51_866) => &[(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)],
        _ => &[],
    };
    if !known.is_empty() {
        return known.to_vec();
    }
    (dims.n_text_layer / 2..dims.n_text_layer)
        .flat_map(|layer| (0..dims.n_text_head).map(move |head| (layer, head)))
        .collect()
}

/// Aligns `text` on the window that `decoder` holds, of which the first `positions` are recording.
pub(crate) fn words(
    decoder: &mut dyn Decoder,
    tokenizer: &Tokenizer,
    language: &str,
    sot: &[TokenId],
    text: &[TokenId],
    positions: usize,
) -> Result<Aligned, DecodeError> {
    let dims = *decoder.dims();
    let room = dims.n_text_ctx.saturating_sub(sot.len() + 2);
    if text.is_empty() || text.len() > room || positions == 0 {
        return Ok(Aligned::default());
    }
    let heads = alignment_heads(&dims);
    let tokens = [sot, &[tokenizer.no_timestamps()], text, &[tokenizer.eot()]].concat();
    let held = decoder.positions();
    let positions = positions.min(held);
    let mut scores = vec![0.0; heads.len() * tokens.len() * held];
    let mut logits = Vec::new();
    decoder.align(&tokens, &heads, &mut scores, &mut logits)?;

    // Each text token is predicted one position before its own.
    let eot = tokenizer.eot() as usize;
    let probabilities: Vec<f32> = text
        .iter()
        .enumerate()
        .map(|(index, token)| {
            let row = &logits[(sot.len() + index) * dims.n_vocab..][..eot];
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f32 = row.iter().map(|logit| (logit - largest).exp()).sum();
            (row[*token as usize] - largest).exp() / total
        })
        .collect();

    let cost = cost_matrix(&mut scores, heads.len(), tokens.len(), held, positions, sot.len());
    let rows = tokens.len() - sot.len() - 1;
    let path = warp(&cost, rows, positions);
    // The position at which each row of the path is entered.
    let mut entered = vec![0; rows];
    let mut last_row = None;
    for (row, position) in path {
        if last_row != Some(row) {
            entered[row] = position;
            last_row = Some(row);
        }
    }
    let mut at = 0;
    let words = tokenizer.words(language, text).into_iter().map(|(text, tokens)| {
        let end = at + tokens;
        let word = AlignedWord {
            text,
            tokens,
            start_s: entered[at] as f64 / POSITIONS_PER_SECOND,
            end_s: entered[end] as f64 / POSITIONS_PER_SECOND,
            probability: probabilities[at..end].iter().sum::<f32>() / tokens as f32,
        };
        at = end;
        word
    });
    Ok(doubt_long_words(words.collect()))
}

/// Attention to cost: softmax over positions, normalised over tokens, smoothed by a median, averaged over heads, negated.
///
/// *Shape*: `scores` `[heads, tokens, held]`; the cost `[tokens - sot_len - 1, positions]`.
fn cost_matrix(
    scores: &mut [f32],
    heads: usize,
    tokens: usize,
    held: usize,
    positions: usize,
    sot_len: usize,
) -> Vec<f32> {
    let rows = tokens - sot_len - 1;
    let mut cost = vec![0.0; rows * positions];
    for head in scores.chunks_exact_mut(tokens * held) {
        for row in head.chunks_exact_mut(held) {
            let row = &mut row[..positions];
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut total = 0.0;
            for value in row.iter_mut() {
                *value = (*value - largest).exp();
                total += *value;
            }
            for value in row.iter_mut() {
                *value /= total;
            }
        }
        for position in 0..positions {
            let column = || (0..tokens).map(|token| token * held + position);
            let mean = column().map(|at| head[at]).sum::<f32>() / tokens as f32;
            let variance = column().map(|at| (head[at] - mean).powi(2)).sum::<f32>() / tokens as f32;
            let deviation = variance.sqrt();
            for at in column() {
                head[at] = (head[at] - mean) / deviation;
            }
        }
        for (row, cost) in cost.chunks_exact_mut(positions).enumerate() {
            let values = &head[(row + sot_len) * held..][..positions];
            for (position, cost) in cost.iter_mut().enumerate() {
                *cost -= median(values, position) / heads as f32;
            }
        }
    }
    cost
}

/// Median of the neighbourhood, reflected at the edges. A row too short to reflect is left as it is.
fn median(values: &[f32], position: usize) -> f32 {
    const REACH: usize = MEDIAN_WIDTH / 2;
    if values.len() <= REACH {
        return values[position];
    }
    let mut near = [0.0; MEDIAN_WIDTH];
    for (offset, value) in near.iter_mut().enumerate() {
        let at = (position + offset).abs_diff(REACH);
        let last = values.len() - 1;
        *value = values[if position + offset >= REACH && at > last { 2 * last - at } else { at }];
    }
    near.sort_by(f32::total_cmp);
    near[REACH]
}

/// The cheapest way from the first row and position to the last, one step at a time.
fn warp(cost: &[f32], rows: usize, positions: usize) -> Vec<(usize, usize)> {
    let width = positions + 1;
    let mut total = vec![f32::INFINITY; (rows + 1) * width];
    let mut came = vec![0_u8; (rows + 1) * width];
    total[0] = 0.0;
    for position in 1..=positions {
        for row in 1..=rows {
            let diagonal = total[(row - 1) * width + position - 1];
            let down = total[(row - 1) * width + position];
            let along = total[row * width + position - 1];
            let (least, way) = if diagonal < down && diagonal < along {
                (diagonal, 0)
            } else if down < diagonal && down < along {
                (down, 1)
            } else {
                (along, 2)
            };
            total[row * width + position] = cost[(row - 1) * positions + position - 1] + least;
            came[row * width + position] = way;
        }
    }
    let (mut row, mut position) = (rows, positions);
    let mut path = Vec::with_capacity(rows + positions);
    while row > 0 && position > 0 {
        path.push((row - 1, position - 1));
        // Along the edges there is one way only.
        match came[row * width + position] {
            _ if row == 1 => position -= 1,
            _ if position == 1 => row -= 1,
            0 => (row, position) = (row - 1, position - 1),
            1 => row -= 1,
            _ => position -= 1,
        }
    }
    path.reverse();
    path
}

/// Words around the ends of sentences that seem too long are shortened, then punctuation goes to its words.
fn doubt_long_words(mut words: Vec<AlignedWord>) -> Aligned {
    let mut lengths: Vec<f64> =
        words.iter().map(|word| word.end_s - word.start_s).filter(|length| *length > 0.0).collect();
    lengths.sort_by(f64::total_cmp);
    let middle = match lengths.len() {
        0 => 0.0,
        count if count % 2 == 1 => lengths[count / 2],
        count => (lengths[count / 2 - 1] + lengths[count / 2]) / 2.0,
    };
    let median_s = middle.min(0.7);
    let longest_s = median_s * 2.0;
    if !lengths.is_empty() {
        let ends = |text: &str| !text.is_empty() && SENTENCE_ENDS.contains(text);
        for index in 1..words.len() {
            if words[index].end_s - words[index].start_s > longest_s {
                if ends(&words[index].text) {
                    words[index].end_s = words[index].start_s + longest_s;
                } else if ends(&words[index - 1].text) {
                    words[index].start_s = words[index].end_s - longest_s;
                }
            }
        }
    }
    merge_punctuation(&mut words);
    Aligned { words, median_s, longest_s }
}

fn merge_punctuation(words: &mut [AlignedWord]) {
    // What opens goes to the word after it, from the back.
    let mut following = words.len().saturating_sub(1);
    for previous in (0..following).rev() {
        let text = words[previous].text.clone();
        if text.starts_with(' ') && PREPENDED.contains(text.trim()) {
            words[following].text.insert_str(0, &text);
            words[following].tokens += words[previous].tokens;
            (words[previous].text, words[previous].tokens) = (String::new(), 0);
        } else {
            following = previous;
        }
    }
    // What closes goes to the word before it.
    let mut previous = 0;
    for following in 1..words.len() {
        let text = words[following].text.clone();
        if !words[previous].text.ends_with(' ') && APPENDED.contains(&text) {
            words[previous].text.push_str(&text);
            words[previous].tokens += words[following].tokens;
            (words[following].text, words[following].tokens) = (String::new(), 0);
        } else {
            previous = following;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_follows_the_cheap_cells() {
        // Three rows, six positions: rows change at positions 2 and 4.
        let mut cost = vec![1.0; 18];
        for position in 0..6 {
            cost[position / 2 * 6 + position] = -1.0;
        }
        let path = warp(&cost, 3, 6);
        assert_eq!(path, [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)]);
    }

    #[test]
    fn any_shape_has_a_whole_path() {
        for (rows, positions) in [(1, 1), (1, 5), (5, 1), (4, 3)] {
            let path = warp(&vec![0.0; rows * positions], rows, positions);
            assert_eq!((path[0], path[path.len() - 1]), ((0, 0), (rows - 1, positions - 1)));
        }
    }

    #[test]
    fn a_lone_peak_does_not_pass_the_median() {
        let values = [0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0];
        assert!((0..8).all(|position| median(&values, position) == 0.0));
        assert_eq!(median(&[5.0, 1.0], 0), 5.0);
    }

    #[test]
    fn punctuation_goes_to_its_word_with_its_tokens() {
        let word =
            |text: &str| AlignedWord { text: text.into(), tokens: 1, start_s: 0.0, end_s: 0.2, probability: 1.0 };
        let aligned = doubt_long_words(vec![word(" \""), word(" Hi"), word("!"), word(" you"), word(".")]);
        let texts: Vec<&str> = aligned.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["", " \" Hi!", "", " you.", ""]);
        assert_eq!(aligned.words.iter().map(|word| word.tokens).collect::<Vec<_>>(), [0, 3, 0, 2, 0]);
    }
}
