//! Sound into 16 kHz mono samples: microphone capture, resampling, file decoding, voice activity.
