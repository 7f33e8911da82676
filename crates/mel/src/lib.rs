//! OpenAI's log-mel spectrogram, written straight into the caller's buffer.
