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
        self.n_vocab >= 51_865
    }

    /// Languages that the model knows: English alone, or as many as its vocabulary has tokens for.
    pub fn n_languages(&self) -> usize {
        // Beside them it has 51,765 tokens and one more without which English-only models do.
        if self.is_multilingual() { self.n_vocab - 51_766 } else { 1 }
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
