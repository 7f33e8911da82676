//! Greedy search, sampling, and beam search.

use amanuensis_kernels::{argmax, log_sum_exp};

use crate::decode::rules::Rules;
use crate::decode::{DecodeError, DecodeOptions, Observer, max_tokens};
use crate::{Decoder, LogitsFor, TokenId};

/// The best row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) tokens: Vec<TokenId>,
    pub(super) sum_logprob: f32,
    pub(super) no_speech_prob: f32,
}

/// One hypothesis: the tokens after those given, the end of text not among them.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    tokens: Vec<TokenId>,
    sum_logprob: f32,
    ended: bool,
}

impl Row {
    /// Mean log-probability, by which OpenAI ranks.
    fn score(&self) -> f32 {
        // A row that ended at once has no tokens to share its probability.
        self.sum_logprob / self.tokens.len().max(1) as f32
    }
}

/// Looks for the best continuation of `initial` at one temperature.
#[allow(clippy::too_many_arguments, reason = "the parts of one search, owned by different callers")]
pub(super) fn search(
    decoder: &mut dyn Decoder,
    rules: &Rules<'_>,
    options: &DecodeOptions,
    temperature: f32,
    initial: &[TokenId],
    logits: &mut Vec<f32>,
    rng: &mut Rng,
    observer: &mut dyn Observer,
) -> Result<Found, DecodeError> {
    let n_vocab = decoder.dims().n_vocab;
    // The last token sampled is not given to the decoder any more: it may be one more than fits.
    let n_text_ctx = decoder.dims().n_text_ctx;
    let most = max_tokens(options, n_text_ctx).min((n_text_ctx + 1).saturating_sub(initial.len()));
    let beams = options.beam_size.filter(|_| temperature == 0.0);
    let rows = beams.unwrap_or(if temperature > 0.0 { options.best_of.max(1) } else { 1 }).min(decoder.max_rows());

    // The tokens given are the same for all rows: they go through once.
    decoder.restart(1)?;
    let sot = initial.iter().position(|token| *token == rules.sot).unwrap_or(0);
    decoder.forward(initial, LogitsFor::LastAnd(sot), logits)?;
    let (at_sot, last) = logits.split_at_mut(n_vocab);
    let no_speech_prob = (at_sot[rules.no_speech as usize] - log_sum_exp(at_sot)).exp();
    at_sot.copy_from_slice(last);
    if !at_sot.iter().all(|logit| logit.is_finite()) {
        return Err(crate::BackendError::NotFinite.into());
    }

    let mut search = match beams {
        Some(beams) => Search::Beam { beams: rows, finished: Vec::new(), wanted: beams },
        None => Search::Sample { temperature },
    };
    let mut live = vec![Row { tokens: Vec::with_capacity(most), sum_logprob: 0.0, ended: false }];
    let mut sources = Vec::with_capacity(rows);
    let mut newest = Vec::with_capacity(rows);
    if beams.is_none() && rows > 1 {
        decoder.reorder(&vec![0; rows])?;
        live = vec![live[0].clone(); rows];
        logits.resize(rows * n_vocab, 0.0);
        for row in 1..rows {
            logits.copy_within(..n_vocab, row * n_vocab);
        }
    }
    for step in 0..most {
        if observer.cancelled() {
            return Err(DecodeError::Cancelled);
        }
        for (row, logits) in live.iter().zip(logits.chunks_exact_mut(n_vocab)) {
            rules.apply(logits, &row.tokens);
        }
        search.advance(&mut live, &mut sources, logits, n_vocab, rules.eot, rng);
        if let Some(row) = live.first() {
            observer.progress(&row.tokens);
        }
        if search.is_over(&live) || step + 1 == most {
            break;
        }
        if sources.iter().enumerate().any(|(row, source)| row != *source) || sources.len() != live.len() {
            decoder.reorder(&sources)?;
        }
        newest.clear();
        newest.extend(
            live.iter().map(|row| if row.ended { rules.eot } else { *row.tokens.last().unwrap_or(&rules.eot) }),
        );
        decoder.forward(&newest, LogitsFor::Last, logits)?;
    }
    let best = search.best(live);
    Ok(Found { tokens: best.tokens, sum_logprob: best.sum_logprob, no_speech_prob })
}

enum Search {
    Sample { temperature: f32 },
    Beam { beams: usize, finished: Vec<Row>, wanted: usize },
}

impl Search {
    /// Lets the rows grow by a token, and says which row each goes on from.
    fn advance(
        &mut self,
        live: &mut Vec<Row>,
        sources: &mut Vec<usize>,
        logits: &[f32],
        n_vocab: usize,
        eot: TokenId,
        rng: &mut Rng,
    ) {
        let per_row = logits.chunks_exact(n_vocab);
        sources.clear();
        match self {
            Self::Sample { temperature } => {
                sources.extend(0..live.len());
                for (row, logits) in live.iter_mut().zip(per_row).filter(|(row, _)| !row.ended) {
                    let token = if *temperature == 0.0 {
                        argmax(logits).0 as TokenId
                    } else {
                        rng.sample(logits, *temperature)
                    };
                    row.sum_logprob += logits[token as usize] - log_sum_exp(logits);
                    if token == eot {
                        row.ended = true;
                    } else {
                        row.tokens.push(token);
                    }
                }
            }
            Self::Beam { beams, finished, wanted } => {
                let mut candidates: Vec<(f32, usize, TokenId)> = Vec::with_capacity(live.len() * (*beams + 1));
                for (index, (row, logits)) in live.iter().zip(per_row).enumerate() {
                    let normaliser = log_sum_exp(logits);
                    for token in top(logits, *beams + 1) {
                        candidates.push((row.sum_logprob + logits[token as usize] - normaliser, index, token));
                    }
                }
                // Equal scores keep the order of rows and ranks.
                candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
                let (mut rows, mut ended) = (Vec::with_capacity(*beams), Vec::new());
                for (sum_logprob, source, token) in candidates {
                    let mut tokens = live[source].tokens.clone();
                    if token == eot {
                        ended.push(Row { tokens, sum_logprob, ended: true });
                    } else {
                        tokens.push(token);
                        rows.push(Row { tokens, sum_logprob, ended: false });
                        sources.push(source);
                        if rows.len() == *beams {
                            break;
                        }
                    }
                }
                for row in ended {
                    if finished.len() < *wanted {
                        finished.push(row);
                    }
                }
                *live = rows;
            }
        }
    }

    fn is_over(&self, live: &[Row]) -> bool {
        match self {
            Self::Sample { .. } => live.iter().all(|row| row.ended),
            Self::Beam { finished, wanted, .. } => finished.len() >= *wanted || live.is_empty(),
        }
    }

    fn best(self, live: Vec<Row>) -> Row {
        let candidates = match self {
            Self::Sample { .. } => live,
            Self::Beam { mut finished, wanted, .. } => {
                let mut unfinished = live;
                unfinished.sort_by(|a, b| b.sum_logprob.total_cmp(&a.sum_logprob));
                let room = wanted.saturating_sub(finished.len());
                finished.extend(unfinished.into_iter().take(room));
                finished
            }
        };
        // The first of equals, as OpenAI's arg max takes it.
        let mut best: Option<Row> = None;
        for row in candidates {
            if best.as_ref().is_none_or(|best| row.score() > best.score()) {
                best = Some(row);
            }
        }
        best.unwrap_or(Row { tokens: Vec::new(), sum_logprob: 0.0, ended: true })
    }
}

/// The token of the largest logit, the first of equals.
/// The `count` tokens of the largest logits, largest first, without those that are impossible.
fn top(logits: &[f32], count: usize) -> Vec<TokenId> {
    let mut best: Vec<TokenId> = Vec::with_capacity(count + 1);
    for (token, logit) in logits.iter().enumerate() {
        if !logit.is_finite() {
            continue;
        }
        let full = best.len() == count;
        if full && best.last().is_some_and(|last| logits[*last as usize] >= *logit) {
            continue;
        }
        let place = best.partition_point(|other| logits[*other as usize] >= *logit);
        best.insert(place, token as TokenId);
        best.truncate(count);
    }
    best
}

/// SplitMix64: small, seedable, and good enough to pick tokens.
///
/// *Source*: <https://prng.di.unimi.it/splitmix64.c>
#[derive(Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn sample(&mut self, logits: &[f32], temperature: f32) -> TokenId {
        let (likeliest, largest) = argmax(logits);
        let weight = |logit: &f32| f64::from(((logit - largest) / temperature).exp());
        let total: f64 = logits.iter().map(weight).sum();
        let mut left = (self.next() >> 11) as f64 / (1_u64 << 53) as f64 * total;
        for (token, logit) in logits.iter().enumerate() {
            left -= weight(logit);
            if left < 0.0 {
                return token as TokenId;
            }
        }
        likeliest as TokenId
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_in_order() {
        let logits = [0.0, 3.0, f32::NEG_INFINITY, 3.0, 5.0, -1.0];
        assert_eq!(top(&logits, 3), [4, 1, 3]);
        assert_eq!(top(&logits, 10), [4, 1, 3, 0, 5]);
    }

    #[test]
    fn samples_follow_the_probabilities() {
        let mut rng = Rng::new(7);
        let logits = [0.0, (3.0_f32).ln(), f32::NEG_INFINITY];
        let ones = (0..10_000).filter(|_| rng.sample(&logits, 1.0) == 1).count();
        assert!((7_300..7_700).contains(&ones), "{ones} of 10000 where 7500 are expected");
        assert_eq!(rng.sample(&logits, 0.01), 1);
    }
}
