//! Long recordings, window by window: where the next window begins, and what the segments of this one are.
//!
//! *Source*: <https://github.com/openai/whisper/blob/v20250625/whisper/transcribe.py>. Two things differ. A recording is streamed, so
//! each window's spectrogram is that of its own samples with silence after them, normalised over that window and not over the
//! whole file. And where words are asked for, a window without any is left behind as a whole; OpenAI's code goes on at the only
//! timestamp of such a window, which may be its first tenth of a second.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::align::{self, Aligned};
use crate::decode::{DecodeError, DecodeOptions, WindowDecoder, WindowResult};
use crate::{Decoder, FRAMES_PER_WINDOW, Segment, TokenId, Tokenizer, Word};

/// Milliseconds of a mel frame.
const FRAME_MS: u64 = 10;
/// Mel frames between two timestamps.
const FRAMES_PER_TIMESTAMP: usize = 2;
/// Above this temperature a text is no good prompt for the next window.
const UNRELIABLE_TEMPERATURE: f32 = 0.5;

/// The state of one recording between its windows.
#[derive(Debug)]
pub struct Sequencer {
    tokenizer: Arc<Tokenizer>,
    options: DecodeOptions,
    seek_frames: usize,
    history: Vec<TokenId>,
    prompt_from: usize,
    /// End of the last word, in seconds.
    last_speech_s: f64,
    is_first: bool,
}

impl Sequencer {
    /// The beginning of a recording.
    pub fn new(tokenizer: Arc<Tokenizer>, options: DecodeOptions) -> Self {
        let history =
            options.prompt.as_deref().map_or_else(Vec::new, |prompt| tokenizer.encode(&format!(" {}", prompt.trim())));
        Self { tokenizer, options, seek_frames: 0, history, prompt_from: 0, last_speech_s: 0.0, is_first: true }
    }

    /// How the recording is decoded. The language is fixed by the first window where none was asked for.
    pub fn options(&self) -> &DecodeOptions {
        &self.options
    }

    /// Where the next window begins, in mel frames of 10 ms from the start of the recording.
    pub fn next_frame(&self) -> usize {
        self.seek_frames
    }

    /// Tokens that the next window is given as what came before.
    pub fn previous(&self) -> &[TokenId] {
        &self.history[self.prompt_from..]
    }

    /// Tokens that the next window's own text begins with.
    pub fn prefix(&self) -> Vec<TokenId> {
        match &self.options.prefix {
            Some(prefix) if self.is_first => self.tokenizer.encode(&format!(" {}", prefix.trim())),
            _ => Vec::new(),
        }
    }

    /// Takes the result of the window at [`next_frame`](Self::next_frame), of which `window_frames` are recording and the rest
    /// silence, and moves on. `decoder` still holds the window: words are aligned on it where they were asked for.
    ///
    /// # Errors
    /// [`DecodeError`] of the alignment.
    pub fn accept(
        &mut self,
        result: &WindowResult,
        window_frames: usize,
        windows: &WindowDecoder,
        decoder: &mut dyn Decoder,
    ) -> Result<Vec<Segment>, DecodeError> {
        let window_frames = window_frames.clamp(1, FRAMES_PER_WINDOW);
        self.is_first = false;
        self.options.language.get_or_insert_with(|| result.language.to_owned());
        if self.is_silence(result) {
            self.seek_frames += window_frames;
            return Ok(Vec::new());
        }
        let offset = time(self.seek_frames);
        let Cut { mut segments, mut advance_frames, ends_with_one_timestamp } = self.cut(result, offset, window_frames);
        if self.options.word_timestamps {
            self.add_words(&mut segments, result, offset, window_frames, windows, decoder)?;
            if let Some(last) = segments.iter().rev().find_map(|(segment, _)| segment.words.last()) {
                self.last_speech_s = last.end.as_secs_f64();
                if !ends_with_one_timestamp && last.end > offset {
                    advance_frames = ((last.end - offset).as_millis() as u64 / FRAME_MS) as usize;
                }
            }
        }
        // A window that does not move on would be decoded for ever.
        self.seek_frames += if advance_frames == 0 { window_frames } else { advance_frames };
        segments.retain(|(segment, _)| segment.end > segment.start && !segment.text.trim().is_empty());
        for (_, tokens) in &segments {
            self.history.extend(&result.tokens[tokens.clone()]);
        }
        if !self.options.condition_on_previous_text || result.temperature > UNRELIABLE_TEMPERATURE {
            self.prompt_from = self.history.len();
        }
        Ok(segments.into_iter().map(|(segment, _)| segment).collect())
    }

    /// No speech is likely, and the text is not.
    fn is_silence(&self, result: &WindowResult) -> bool {
        let silent = self.options.no_speech_threshold.is_some_and(|most| result.no_speech_prob > most);
        let likely = self.options.logprob_threshold.is_some_and(|least| result.avg_logprob > least);
        silent && !likely
    }

    fn cut(&self, result: &WindowResult, offset: Duration, window_frames: usize) -> Cut {
        let begin = self.tokenizer.timestamp_begin();
        let tokens = &result.tokens;
        let is_time = |index: usize| tokens.get(index).is_some_and(|token| *token >= begin);
        let position = |index: usize| (tokens[index] - begin) as usize;
        let count = tokens.len();
        let ends_with_one_timestamp = count >= 2 && is_time(count - 1) && !is_time(count - 2);
        let mut ends: Vec<usize> = (1..count).filter(|index| is_time(index - 1) && is_time(*index)).collect();
        if ends.is_empty() {
            // One segment, to its last timestamp if it has one.
            let last = (0..count).rev().find(|index| is_time(*index)).map(position).filter(|position| *position != 0);
            let frames = last.map_or(window_frames, |position| position * FRAMES_PER_TIMESTAMP);
            let segment = self.segment(result, 0..count, offset, offset + time(frames), offset);
            return Cut { segments: vec![segment], advance_frames: window_frames, ends_with_one_timestamp };
        }
        if ends_with_one_timestamp {
            ends.push(count);
        }
        let mut segments = Vec::with_capacity(ends.len());
        let mut first = 0;
        for end in &ends {
            let at = |index: usize| {
                if is_time(index) { time(position(index) * FRAMES_PER_TIMESTAMP) } else { Duration::ZERO }
            };
            segments.push(self.segment(result, first..*end, offset + at(first), offset + at(end - 1), offset));
            first = *end;
        }
        let advance_frames =
            if ends_with_one_timestamp { window_frames } else { position(first - 1) * FRAMES_PER_TIMESTAMP };
        Cut { segments, advance_frames, ends_with_one_timestamp }
    }

    fn segment(
        &self,
        result: &WindowResult,
        range: Range<usize>,
        start: Duration,
        end: Duration,
        window_start: Duration,
    ) -> Piece {
        let eot = self.tokenizer.eot();
        let tokens: Vec<TokenId> = result.tokens[range.clone()].iter().copied().filter(|token| *token < eot).collect();
        let segment = Segment {
            start,
            end,
            window_start,
            text: self.tokenizer.decode(&tokens),
            tokens,
            words: Vec::new(),
            avg_logprob: result.avg_logprob,
            no_speech_prob: result.no_speech_prob,
            compression_ratio: result.compression_ratio,
            temperature: result.temperature,
        };
        (segment, range)
    }

    fn add_words(
        &self,
        segments: &mut [Piece],
        result: &WindowResult,
        offset: Duration,
        window_frames: usize,
        windows: &WindowDecoder,
        decoder: &mut dyn Decoder,
    ) -> Result<(), DecodeError> {
        let text: Vec<TokenId> = segments.iter().flat_map(|(segment, _)| segment.tokens.iter().copied()).collect();
        let sot = windows.sot_sequence(result.language, self.options.task)?;
        let positions = window_frames / 2;
        let aligned = align::words(decoder, &self.tokenizer, result.language, &sot, &text, positions)?;
        place_words(segments.iter_mut().map(|(segment, _)| segment), aligned, offset, self.last_speech_s);
        Ok(())
    }
}

/// A segment, and where among the window's tokens its own are, timestamps included.
type Piece = (Segment, Range<usize>);

struct Cut {
    segments: Vec<Piece>,
    advance_frames: usize,
    ends_with_one_timestamp: bool,
}

fn time(frames: usize) -> Duration {
    Duration::from_millis(frames as u64 * FRAME_MS)
}

/// Hands the words out to the segments whose tokens they are, and lets each correct the other's times.
fn place_words<'a>(
    segments: impl Iterator<Item = &'a mut Segment>,
    aligned: Aligned,
    offset: Duration,
    mut last_speech_s: f64,
) {
    let (median, longest) = (aligned.median_s, aligned.longest_s);
    let mut words = aligned.words.into_iter().peekable();
    for segment in segments {
        let mut taken = 0;
        let mut own: Vec<(f64, f64, String, f32)> = Vec::new();
        while taken < segment.tokens.len() {
            let Some(word) = words.next() else { break };
            taken += word.tokens;
            if !word.text.is_empty() {
                let at = |seconds: f64| hundredths(offset.as_secs_f64() + seconds);
                own.push((at(word.start_s), at(word.end_s), word.text, word.probability));
            }
        }
        let Some(last) = own.len().checked_sub(1) else { continue };
        let (start, end) = (segment.start.as_secs_f64(), segment.end.as_secs_f64());
        // A first word after a pause that seems too long is cut at its end.
        let after_pause = own[0].1 - last_speech_s > median * 4.0;
        let too_long = own[0].1 - own[0].0 > longest || (last > 0 && own[1].1 - own[0].0 > longest * 2.0);
        if after_pause && too_long {
            if last > 0 && own[1].1 - own[1].0 > longest {
                let boundary = (own[1].1 / 2.0).max(own[1].1 - longest);
                own[0].1 = boundary;
                own[1].0 = boundary;
            }
            own[0].0 = (own[0].1 - longest).max(0.0);
        }
        // The segment's own times win where the words' are far beyond them.
        if start < own[0].1 && start - 0.5 > own[0].0 {
            own[0].0 = (own[0].1 - median).min(start).max(0.0);
        } else {
            segment.start = seconds(own[0].0);
        }
        if end > own[last].0 && end + 0.5 < own[last].1 {
            own[last].1 = (own[last].0 + median).max(end);
        } else {
            segment.end = seconds(own[last].1);
        }
        last_speech_s = segment.end.as_secs_f64();
        segment.words = own
            .into_iter()
            .map(|(start, end, text, probability)| Word { start: seconds(start), end: seconds(end), text, probability })
            .collect();
    }
}

/// Rounded to the 10 ms that the words are known to.
fn hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

fn seconds(value: f64) -> Duration {
    Duration::from_millis((value.max(0.0) * 100.0).round() as u64 * 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::tests::toy;
    use crate::{BackendError, DeviceInfo, Dims, LogitsFor};

    /// No test here reaches a decoder.
    struct Nowhere(Dims);

    impl Decoder for Nowhere {
        fn dims(&self) -> &Dims {
            &self.0
        }
        fn device(&self) -> DeviceInfo {
            DeviceInfo { name: "none".into(), detail: String::new(), threads: None }
        }
        fn max_rows(&self) -> usize {
            1
        }
        fn positions(&self) -> usize {
            0
        }
        fn start(&mut self, _: &[f32]) -> Result<(), BackendError> {
            Err(BackendError::NotFinite)
        }
        fn restart(&mut self, _: usize) -> Result<(), BackendError> {
            Err(BackendError::NotFinite)
        }
        fn reorder(&mut self, _: &[usize]) -> Result<(), BackendError> {
            Err(BackendError::NotFinite)
        }
        fn forward(&mut self, _: &[TokenId], _: LogitsFor, _: &mut Vec<f32>) -> Result<(), BackendError> {
            Err(BackendError::NotFinite)
        }
        fn align(
            &mut self,
            _: &[TokenId],
            _: &[(usize, usize)],
            _: &mut [f32],
            _: &mut Vec<f32>,
        ) -> Result<(), BackendError> {
            Err(BackendError::NotFinite)
        }
    }

    fn dims() -> Dims {
        Dims {
            n_mels: 80,
            n_audio_ctx: 1500,
            n_audio_state: 64,
            n_audio_head: 1,
            n_audio_layer: 1,
            n_vocab: 51_865,
            n_text_ctx: 448,
            n_text_state: 64,
            n_text_head: 1,
            n_text_layer: 1,
        }
    }

    fn accept(tokens: &[u32], no_speech_prob: f32, avg_logprob: f32, frames: usize) -> (Vec<Segment>, usize) {
        let tokenizer = Arc::new(toy(51_865));
        let begin = tokenizer.timestamp_begin();
        // Numbers from 1000 on are timestamps.
        let tokens = tokens.iter().map(|token| if *token >= 1000 { begin + token - 1000 } else { *token }).collect();
        let windows = WindowDecoder::new(Arc::clone(&tokenizer));
        let mut sequencer = Sequencer::new(tokenizer, DecodeOptions::default());
        let result = WindowResult {
            language: "en",
            tokens,
            text: String::new(),
            avg_logprob,
            no_speech_prob,
            temperature: 0.0,
            compression_ratio: 1.0,
        };
        let segments = sequencer.accept(&result, frames, &windows, &mut Nowhere(dims())).expect("nothing is aligned");
        (segments, sequencer.next_frame())
    }

    fn ms(duration: Duration) -> u128 {
        duration.as_millis()
    }

    #[test]
    fn pairs_of_timestamps_cut_and_the_unfinished_is_heard_again() {
        let (segments, next) = accept(&[1000, 97, 1100, 1100, 98, 1150, 1150, 99], 0.0, -0.1, 3000);
        assert_eq!(segments.len(), 2);
        assert_eq!((ms(segments[1].start), ms(segments[1].end)), (2000, 3000));
        assert_eq!((segments[0].text.as_str(), next), ("a", 300));
    }

    #[test]
    fn a_single_last_timestamp_ends_the_window() {
        let (segments, next) = accept(&[1000, 97, 1100, 1100, 98, 1150], 0.0, -0.1, 2000);
        assert_eq!((segments.len(), next), (2, 2000));
        let (segments, next) = accept(&[1000, 97, 1150], 0.0, -0.1, 2000);
        assert_eq!((segments.len(), ms(segments[0].end), next), (1, 3000, 2000));
    }

    #[test]
    fn silence_is_left_out_unless_its_text_is_likely() {
        assert_eq!(accept(&[97], 0.9, -2.0, 700), (vec![], 700));
        assert_eq!(accept(&[97], 0.9, -0.5, 700).0.len(), 1);
    }

    #[test]
    fn every_window_moves_on() {
        for tokens in [&[][..], &[1000, 1000], &[1000, 97, 1000, 1000, 98], &[97]] {
            let (_, next) = accept(tokens, 0.0, -0.1, 500);
            assert!(next > 0, "{tokens:?}");
        }
    }
}
