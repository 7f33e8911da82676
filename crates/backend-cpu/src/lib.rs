//! Whisper's encoder and decoder on the CPU.
