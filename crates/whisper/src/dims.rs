//! The numbers that define a Whisper model's shape.

/// Dimensions of a Whisper model, as its weight file states them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dims {
    /// Mel bins: 80, or 128 from large-v3 on.
    pub n_mels: usize,
    /// Encoder positions of a full window: 1500 in every published model.
    pub n_audio_ctx: usize,
    /// Width of the encoder.
    pub n_audio_state: usize,
    /// Attention heads of the encoder.
    pub n_audio_head: usize,
    /// Layers of the encoder.
    pub n_audio_layer: usize,
    /// Size of the vocabulary: 51864 English-only, 51865 multilingual, 51866 from large-v3 on.
    pub n_vocab: usize,
    /// Longest token sequence: 448 in every published model.
    pub n_text_ctx: usize,
    /// Width of the decoder.
    pub n_text_state: usize,
    /// Attention heads of the decoder.
    pub n_text_head: usize,
    /// Layers of the decoder.
    pub n_text_layer: usize,
}

impl Dims {
    /// Whether the model knows languages other than English.
    pub fn is_multilingual(&self) -> bool {
        Vocabulary::of(self.n_vocab).is_some_and(|vocabulary| vocabulary.is_multilingual)
    }

    /// Languages that the model knows: English alone, or as many as its vocabulary has tokens for.
    pub fn n_languages(&self) -> usize {
        let vocabulary = Vocabulary::of(self.n_vocab).filter(|vocabulary| vocabulary.is_multilingual);
        vocabulary.map_or(1, |vocabulary| vocabulary.languages)
    }
}

/// What a vocabulary is made up of, by its size. The rest are 8 special tokens and 1501 timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vocabulary {
    /// Tokens of text; they come first.
    pub text: usize,
    /// Tokens that name a language. An English-only model has them too, and has no use for them.
    pub languages: usize,
    /// Whether it is that of a model that knows languages other than English.
    pub is_multilingual: bool,
}

impl Vocabulary {
    /// A vocabulary of `n_vocab` tokens; `None` if no Whisper model has so many.
    pub fn of(n_vocab: usize) -> Option<Self> {
        // While a fuzzer reads one real vocabulary it reads a hundred of these.
        let lacking = if cfg!(fuzzing) && n_vocab < 50_000 { 49_900 } else { 0 };
        let (text, languages, is_multilingual) = match n_vocab + lacking {
            51_864 => (50_256, 99, false),
            51_865 => (50_257, 99, true),
            51_866 => (50_257, 100, true),
            _ => return None,
        };
        Some(Self { text: text - lacking, languages, is_multilingual })
    }
}

#[cfg(test)]
mod tests {
    use super::Dims;

    #[test]
    fn languages_are_those_of_the_vocabulary() {
        let count = |n_vocab| {
            let dims = Dims {
                n_mels: 80,
                n_audio_ctx: 1500,
                n_audio_state: 384,
                n_audio_head: 6,
                n_audio_layer: 4,
                n_vocab,
                n_text_ctx: 448,
                n_text_state: 384,
                n_text_head: 6,
                n_text_layer: 4,
            };
            dims.n_languages()
        };
        assert_eq!([51_864, 51_865, 51_866].map(count), [1, 99, 100]);
    }
}
