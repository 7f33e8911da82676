//! From one encoded window to its tokens: prompts, rules, search, and the fallback to higher temperatures.
//!
//! *Source*: <https://github.com/openai/whisper/blob/v20250625/whisper/decoding.py>

mod rules;
mod search;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use amanuensis_kernels::log_sum_exp;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::{BackendError, Decoder, LogitsFor, TokenId, Tokenizer};
use rules::Rules;
use search::Rng;

/// What is asked of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// The words that were spoken.
    #[default]
    Transcribe,
    /// English text of what was spoken.
    Translate,
}

/// How a recording is decoded. The defaults are OpenAI's.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeOptions {
    /// Code of the spoken language; `None` lets the model find out.
    pub language: Option<String>,
    /// Transcribe or translate.
    pub task: Task,
    /// Temperatures tried in order until a result is good enough. At 0 the likeliest token is taken.
    pub temperatures: Vec<f32>,
    /// Beams at temperature 0; `None` searches greedily.
    pub beam_size: Option<usize>,
    /// Samples at higher temperatures, of which the likeliest is kept.
    pub best_of: usize,
    /// Text that came before, or names and words to be expected.
    pub prompt: Option<String>,
    /// Text that the transcript of the first window begins with.
    pub prefix: Option<String>,
    /// Whether segments get times.
    pub timestamps: bool,
    /// Whether words get times.
    pub word_timestamps: bool,
    /// Whether a window sees the text of those before it.
    pub condition_on_previous_text: bool,
    /// A text that compresses better than this repeats itself: try the next temperature.
    pub compression_ratio_threshold: Option<f32>,
    /// A mean log-probability below this is a failure: try the next temperature.
    pub logprob_threshold: Option<f32>,
    /// A window that probably holds no speech is left out, unless its text is likely enough.
    pub no_speech_threshold: Option<f32>,
    /// Whether brackets, notes and the like are kept from being produced.
    pub suppress_non_speech: bool,
    /// Latest start of the first segment of a window.
    pub max_initial_timestamp: Option<Duration>,
    /// Most tokens of a window; `None` is half the text context.
    pub max_tokens: Option<usize>,
    /// Seed of the samples at higher temperatures.
    pub seed: u64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            language: None,
            task: Task::Transcribe,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            beam_size: None,
            best_of: 5,
            prompt: None,
            prefix: None,
            timestamps: true,
            word_timestamps: false,
            condition_on_previous_text: true,
            compression_ratio_threshold: Some(2.4),
            logprob_threshold: Some(-1.0),
            no_speech_threshold: Some(0.6),
            suppress_non_speech: true,
            max_initial_timestamp: Some(Duration::from_secs(1)),
            max_tokens: None,
            seed: 0,
        }
    }
}

impl DecodeOptions {
    /// Rows that decoding with these options needs.
    pub fn rows(&self) -> usize {
        let samples = if self.temperatures.iter().any(|temperature| *temperature > 0.0) { self.best_of } else { 1 };
        self.beam_size.unwrap_or(1).max(samples).max(1)
    }
}

/// Why a window has no result.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// It was cancelled.
    #[error("the transcription was cancelled")]
    Cancelled,
    /// The language is none that the model knows.
    #[error(
        "the model does not know the language \"{language}\"; use a code like \"en\" or \"de\", or a multilingual model"
    )]
    UnknownLanguage {
        /// What was asked for.
        language: String,
    },
    /// An English-only model was asked to translate.
    #[error("this model knows only English and cannot translate; choose a multilingual model")]
    CannotTranslate,
}

/// Watches a window being decoded.
pub trait Observer {
    /// Whether to stop.
    fn cancelled(&self) -> bool {
        false
    }

    /// The tokens so far of the row that is ahead, timestamps included.
    fn progress(&mut self, _tokens: &[TokenId]) {}
}

/// An observer that watches nothing.
impl Observer for () {}

/// One window's tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowResult {
    /// Code of the language.
    pub language: &'static str,
    /// Tokens after the prefix, timestamps included, end of text not.
    pub tokens: Vec<TokenId>,
    /// Text, trimmed.
    pub text: String,
    /// Mean natural-log probability of the tokens and the end of text.
    pub avg_logprob: f32,
    /// Probability of no speech, as the model says it at the start.
    pub no_speech_prob: f32,
    /// Temperature of the result.
    pub temperature: f32,
    /// Bytes of the text over bytes of its zlib compression.
    pub compression_ratio: f32,
}

/// Decodes windows of one model, one after the other; holds what they share.
#[derive(Debug)]
pub struct WindowDecoder {
    tokenizer: Arc<Tokenizer>,
    non_speech: Vec<TokenId>,
    blank: Vec<TokenId>,
    logits: Vec<f32>,
}

impl WindowDecoder {
    /// A decoder of windows with this vocabulary.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        let mut blank = tokenizer.encode(" ");
        blank.push(tokenizer.eot());
        Self { non_speech: tokenizer.non_speech_tokens(), blank, logits: Vec::new(), tokenizer }
    }

    /// The vocabulary.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// Probability of each language, for the window that `decoder` holds, most probable first.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn detect_language(&mut self, decoder: &mut dyn Decoder) -> Result<Vec<(&'static str, f32)>, BackendError> {
        let tokenizer = &self.tokenizer;
        if !tokenizer.is_multilingual() {
            return Ok(vec![("en", 1.0)]);
        }
        decoder.restart(1)?;
        decoder.forward(&[tokenizer.sot()], LogitsFor::Last, &mut self.logits)?;
        let range = tokenizer.languages();
        let logits = &self.logits[range.start as usize..range.end as usize];
        let normaliser = log_sum_exp(logits);
        let mut found: Vec<_> = range
            .zip(logits)
            .filter_map(|(token, logit)| Some((tokenizer.language_code(token)?, (logit - normaliser).exp())))
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(found)
    }

    /// Decodes the window whose encoder output is `encoded`. `previous` are the tokens that came before it, `prefix` those that
    /// its own transcript begins with.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(
        &mut self,
        decoder: &mut dyn Decoder,
        encoded: &[f32],
        options: &DecodeOptions,
        previous: &[TokenId],
        prefix: &[TokenId],
        observer: &mut dyn Observer,
    ) -> Result<WindowResult, DecodeError> {
        decoder.start(encoded)?;
        let language = self.language(decoder, options)?;
        let n_text_ctx = decoder.dims().n_text_ctx;
        // A prefix leaves room for what is to be sampled after it.
        let prefix = &prefix[prefix.len().saturating_sub(n_text_ctx / 4)..];
        let mut initial = self.initial_tokens(language, options, previous, n_text_ctx)?;
        initial.extend(prefix);
        let rules = Rules::new(&self.tokenizer, &self.non_speech, &self.blank, options);
        let mut rng = Rng::new(options.seed);
        let mut last = None;
        for temperature in options.temperatures.iter().copied().chain(options.temperatures.is_empty().then_some(0.0)) {
            let found =
                search::search(decoder, &rules, options, temperature, &initial, &mut self.logits, &mut rng, observer)?;
            let result = self.result(language, temperature, found);
            let again = self.needs_fallback(&result, options);
            last = Some(result);
            if !again {
                break;
            }
        }
        Ok(last.expect("BUG: at least one temperature was tried"))
    }

    fn language(&mut self, decoder: &mut dyn Decoder, options: &DecodeOptions) -> Result<&'static str, DecodeError> {
        match &options.language {
            None => Ok(self.detect_language(decoder)?.first().map_or("en", |(code, _)| code)),
            Some(asked) => {
                let wanted = asked.to_lowercase();
                let known = crate::languages::LANGUAGES
                    .iter()
                    .find(|(code, name)| *code == wanted || name.to_lowercase() == wanted)
                    .map(|(code, _)| *code)
                    .filter(|code| {
                        if self.tokenizer.is_multilingual() {
                            self.tokenizer.language(code).is_some()
                        } else {
                            *code == "en"
                        }
                    });
                known.ok_or_else(|| DecodeError::UnknownLanguage { language: asked.clone() })
            }
        }
    }

    /// The tokens before the first that is sampled.
    fn initial_tokens(
        &self,
        language: &str,
        options: &DecodeOptions,
        previous: &[TokenId],
        n_text_ctx: usize,
    ) -> Result<Vec<TokenId>, DecodeError> {
        let tokenizer = &self.tokenizer;
        let mut tokens = Vec::with_capacity(n_text_ctx);
        if !previous.is_empty() {
            tokens.push(tokenizer.sot_prev());
            tokens.extend(&previous[previous.len().saturating_sub(n_text_ctx / 2 - 1)..]);
        }
        tokens.extend(self.sot_sequence(language, options.task)?);
        if !options.timestamps {
            tokens.push(tokenizer.no_timestamps());
        }
        Ok(tokens)
    }

    /// Start of transcript, language and task.
    ///
    /// # Errors
    /// [`DecodeError::CannotTranslate`] for an English-only model, [`DecodeError::UnknownLanguage`].
    pub fn sot_sequence(&self, language: &str, task: Task) -> Result<Vec<TokenId>, DecodeError> {
        let tokenizer = &self.tokenizer;
        let mut tokens = vec![tokenizer.sot()];
        if tokenizer.is_multilingual() {
            let token = tokenizer.language(language);
            tokens.push(token.ok_or_else(|| DecodeError::UnknownLanguage { language: language.to_owned() })?);
            tokens.push(match task {
                Task::Transcribe => tokenizer.transcribe(),
                Task::Translate => tokenizer.translate(),
            });
        } else if task == Task::Translate {
            return Err(DecodeError::CannotTranslate);
        }
        Ok(tokens)
    }

    fn result(&self, language: &'static str, temperature: f32, found: search::Found) -> WindowResult {
        let text = self.tokenizer.decode(&found.tokens).trim().to_owned();
        WindowResult {
            language,
            avg_logprob: found.sum_logprob / (found.tokens.len() + 1) as f32,
            no_speech_prob: found.no_speech_prob,
            temperature,
            compression_ratio: compression_ratio(&text),
            text,
            tokens: found.tokens,
        }
    }

    fn needs_fallback(&self, result: &WindowResult, options: &DecodeOptions) -> bool {
        let repeats = options.compression_ratio_threshold.is_some_and(|most| result.compression_ratio > most);
        let unlikely = options.logprob_threshold.is_some_and(|least| result.avg_logprob < least);
        let silent = options.no_speech_threshold.is_some_and(|most| result.no_speech_prob > most) && unlikely;
        (repeats || unlikely) && !silent
    }
}

pub(crate) fn max_tokens(options: &DecodeOptions, n_text_ctx: usize) -> usize {
    options.max_tokens.unwrap_or(n_text_ctx / 2).min(n_text_ctx / 2).max(1)
}

/// Bytes of a text over bytes of its zlib compression: text that repeats itself has a high one.
pub fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(text.as_bytes());
    let compressed = encoder.finish().map_or(1, |bytes| bytes.len());
    text.len() as f32 / compressed.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_compresses() {
        assert!(compression_ratio(&"and again ".repeat(40)) > 5.0);
        assert!(compression_ratio("Please send the report before Friday.") < 1.2);
        assert!(compression_ratio("") < 0.5);
    }

    #[test]
    fn rows_follow_from_the_search() {
        assert_eq!(DecodeOptions::default().rows(), 5);
        let greedy = DecodeOptions { temperatures: vec![0.0], ..DecodeOptions::default() };
        assert_eq!(greedy.rows(), 1);
        assert_eq!(DecodeOptions { beam_size: Some(7), ..greedy }.rows(), 7);
    }
}
