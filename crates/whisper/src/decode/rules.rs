//! Which tokens may come next.

use amanuensis_kernels::{argmax, log_sum_exp};

use crate::decode::DecodeOptions;
use crate::{TokenId, Tokenizer};

/// The rules of one window, to be laid over the logits of one row at a time.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    suppressed: Vec<TokenId>,
    blank: &'a [TokenId],
    timestamps: Option<Timestamps>,
    pub(super) eot: TokenId,
    pub(super) no_speech: TokenId,
    pub(super) sot: TokenId,
}

#[derive(Debug)]
struct Timestamps {
    begin: usize,
    eot: usize,
    no_timestamps: usize,
    /// Index of the latest timestamp that a window may begin with.
    latest_first: Option<usize>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(
        tokenizer: &Tokenizer,
        non_speech: &[TokenId],
        blank: &'a [TokenId],
        options: &DecodeOptions,
    ) -> Self {
        let mut suppressed = vec![
            tokenizer.transcribe(),
            tokenizer.translate(),
            tokenizer.sot(),
            tokenizer.sot_prev(),
            tokenizer.sot_lm(),
            tokenizer.no_speech(),
        ];
        if options.suppress_non_speech {
            suppressed.extend(non_speech);
        }
        let timestamps = options.timestamps.then(|| Timestamps {
            begin: tokenizer.timestamp_begin() as usize,
            eot: tokenizer.eot() as usize,
            no_timestamps: tokenizer.no_timestamps() as usize,
            // Timestamps are 20 ms apart.
            latest_first: options.max_initial_timestamp.map(|time| (time.as_millis() / 20) as usize),
        });
        Self {
            suppressed,
            blank,
            timestamps,
            eot: tokenizer.eot(),
            no_speech: tokenizer.no_speech(),
            sot: tokenizer.sot(),
        }
    }

    /// Makes impossible what may not follow `sampled`, the tokens of the row after those it was given.
    ///
    /// *Shape*: `logits` is `[n_vocab]`.
    pub(super) fn apply(&self, logits: &mut [f32], sampled: &[TokenId]) {
        if sampled.is_empty() {
            forbid_each(logits, self.blank);
        }
        forbid_each(logits, &self.suppressed);
        if let Some(timestamps) = &self.timestamps {
            timestamps.apply(logits, sampled);
        }
    }
}

impl Timestamps {
    fn apply(&self, logits: &mut [f32], sampled: &[TokenId]) {
        let is_timestamp = |token: &TokenId| *token as usize >= self.begin;
        logits[self.no_timestamps] = f32::NEG_INFINITY;
        let last_was = sampled.last().is_some_and(is_timestamp);
        let before_was = sampled.len() < 2 || is_timestamp(&sampled[sampled.len() - 2]);
        // Timestamps come in pairs, but for the first and one before the end of text.
        if last_was {
            if before_was {
                logits[self.begin..].fill(f32::NEG_INFINITY);
            } else {
                logits[..self.eot].fill(f32::NEG_INFINITY);
            }
        }
        // They do not go back, and a segment has a length.
        if let Some(last) = sampled.iter().rev().find(|token| is_timestamp(token)) {
            let least = if last_was && !before_was { *last as usize } else { *last as usize + 1 };
            let end = least.min(logits.len());
            logits[self.begin..end].fill(f32::NEG_INFINITY);
        }
        if sampled.is_empty() {
            logits[..self.begin].fill(f32::NEG_INFINITY);
            if let Some(latest) = self.latest_first {
                let after = (self.begin + latest + 1).min(logits.len());
                logits[after..].fill(f32::NEG_INFINITY);
            }
        }
        // Where timestamps together are likelier than any text, one of them it is.
        let (text, times) = logits.split_at(self.begin);
        if log_sum_exp(times) > argmax(text).1 {
            logits[..self.begin].fill(f32::NEG_INFINITY);
        }
    }
}

fn forbid_each(logits: &mut [f32], tokens: &[TokenId]) {
    for token in tokens {
        if let Some(logit) = logits.get_mut(*token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::tests::toy;

    fn allowed(sampled: &[TokenId], options: &DecodeOptions) -> Vec<usize> {
        let tokenizer = toy(51_865);
        let non_speech = tokenizer.non_speech_tokens();
        let blank = [32, tokenizer.eot()];
        let rules = Rules::new(&tokenizer, &non_speech, &blank, options);
        // Flat: no timestamp is likelier than text, for all of them together are.
        let mut logits = vec![0.0; tokenizer.n_vocab()];
        logits[100] = 20.0;
        rules.apply(&mut logits, sampled);
        (0..logits.len()).filter(|token| logits[*token].is_finite()).collect()
    }

    #[test]
    fn a_window_begins_with_an_early_timestamp() {
        let begin = toy(51_865).timestamp_begin() as usize;
        let first = allowed(&[], &DecodeOptions::default());
        assert_eq!(first, (begin..=begin + 50).collect::<Vec<_>>());
        let text = allowed(&[], &DecodeOptions { timestamps: false, ..DecodeOptions::default() });
        assert!(!text.contains(&50_257) && !text.contains(&32) && text.contains(&100));
    }

    #[test]
    fn timestamps_come_in_pairs_and_do_not_go_back() {
        let begin = toy(51_865).timestamp_begin();
        let options = DecodeOptions::default();
        let after_first = allowed(&[begin], &options);
        assert!(after_first.iter().all(|token| *token < begin as usize));
        let after_text = allowed(&[begin + 5, 100], &options);
        assert!(after_text.contains(&100) && !after_text.contains(&(begin as usize + 5)));
        assert!(after_text.contains(&(begin as usize + 6)));
        let after_end = allowed(&[begin + 5, 100, begin + 9], &options);
        assert!(after_end.contains(&(begin as usize + 9)) && !after_end.contains(&100));
    }

    #[test]
    fn likely_timestamps_outweigh_text() {
        let tokenizer = toy(51_865);
        let begin = tokenizer.timestamp_begin() as usize;
        let options = DecodeOptions::default();
        let blank = [32, tokenizer.eot()];
        let rules = Rules::new(&tokenizer, &[], &blank, &options);
        let mut logits = vec![0.0; tokenizer.n_vocab()];
        // Each alone is less likely than the text, together they are likelier.
        logits[100] = 5.0;
        rules.apply(&mut logits, &[begin as TokenId, 100]);
        assert!(logits[100].is_infinite());
    }
}
