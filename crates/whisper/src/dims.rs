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
}
