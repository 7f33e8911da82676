"""What happens to speech between a mouth and the model: rooms, noise, telephones; and the spectrogram."""

from functools import cache

import numpy as np
import torch
from scipy.signal import fftconvolve, lfilter
from whisper.audio import HOP_LENGTH, N_FFT, mel_filters

RATE = 16_000
Random = np.random.Generator


def noise(rng: Random, samples: int) -> np.ndarray:
    """Noise of a random colour, sometimes with hum, sometimes in bursts; its mean square is 1."""
    sound = rng.standard_normal(samples).astype(np.float32)
    kind = rng.integers(4)
    if kind == 1:  # darker
        sound = lfilter([1], [1, -rng.uniform(0.5, 0.98)], sound).astype(np.float32)
    elif kind == 2:  # a band
        sound = lfilter([1, 0, -1], [1, -2 * 0.95 * np.cos(rng.uniform(0.05, 2.5)), 0.9025], sound).astype(np.float32)
    elif kind == 3:  # hum under white noise
        time = np.arange(samples, dtype=np.float32) / RATE
        pitch = rng.choice([50, 60, 100, 120])
        for harmonic in range(1, 5):
            sound += rng.uniform(0, 1.5) * np.sin(2 * np.pi * pitch * harmonic * time + rng.uniform(0, 6))
    if rng.random() < 0.2:
        knots = rng.uniform(0.1, 1, max(2, samples // 4000)) ** 2
        sound *= np.interp(np.linspace(0, 1, samples), np.linspace(0, 1, len(knots)), knots).astype(np.float32)
    return sound / max(1e-6, float(np.sqrt(np.mean(sound**2))))


def add_noise(rng: Random, audio: np.ndarray, snr_db: float) -> np.ndarray:
    """`audio` with noise, `snr_db` below the mean power of the audio where it is not silent."""
    loud = audio[np.abs(audio) > 0.02 * np.abs(audio).max()] if audio.any() else audio
    power = float(np.mean(loud**2)) if len(loud) else 0.0
    return audio + noise(rng, len(audio)) * np.float32(np.sqrt(power * 10 ** (-snr_db / 10)))


def reverb(rng: Random, audio: np.ndarray) -> np.ndarray:
    """A room: noise that decays exponentially after the direct sound."""
    decay = rng.uniform(0.05, 0.35)
    length = int(decay * RATE)
    response = rng.standard_normal(length).astype(np.float32) * np.exp(
        -6.9 * np.arange(length, dtype=np.float32) / length
    )
    response *= rng.uniform(0.1, 0.5) / max(1e-6, float(np.sqrt(np.sum(response**2))))
    response[0] = 1
    return fftconvolve(audio, response)[: len(audio)].astype(np.float32)


def band_limit(rng: Random, audio: np.ndarray) -> np.ndarray:
    """A poor line: nothing above some frequency, sometimes nothing below another."""
    spectrum = np.fft.rfft(audio)
    frequency = np.fft.rfftfreq(len(audio), 1 / RATE)
    spectrum[frequency > rng.uniform(3200, 7500)] = 0
    if rng.random() < 0.4:
        spectrum[frequency < rng.uniform(80, 300)] = 0
    return np.fft.irfft(spectrum, len(audio)).astype(np.float32)


def change_speed(audio: np.ndarray, factor: float) -> np.ndarray:
    """Faster and higher with a factor above 1."""
    places = np.arange(0, len(audio) - 1, factor, dtype=np.float32)
    return np.interp(places, np.arange(len(audio)), audio).astype(np.float32)


def spoil(rng: Random, audio: np.ndarray, strength: float) -> np.ndarray:
    """A random mixture of the above at a random loudness; `strength` is from 0 to 1."""
    if rng.random() < 0.15 * strength:
        audio = reverb(rng, audio)
    if rng.random() < 0.1 * strength:
        audio = band_limit(rng, audio)
    if rng.random() < 0.5 * strength:
        audio = add_noise(rng, audio, rng.uniform(9, 40))
    peak = float(np.abs(audio).max())
    return audio * np.float32(10 ** (rng.uniform(-26, 0) / 20) / max(peak, 1e-6)) if peak > 0 else audio


@cache
def _constants() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.hann_window(N_FFT), mel_filters("cpu", 80)


def log_mel(audio: torch.Tensor) -> torch.Tensor:
    """[B, samples] to [B, 80, frames]: Whisper's spectrogram, each window by itself."""
    window, filters = _constants()
    spectrum = torch.stft(audio, N_FFT, HOP_LENGTH, window=window, return_complex=True)[..., :-1]
    log = (filters @ (spectrum.real**2 + spectrum.imag**2)).clamp(min=1e-10).log10()
    log = torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8)
    return (log + 4) / 4


def mask(rng: Random, mel: torch.Tensor) -> torch.Tensor:
    """Light SpecAugment on [B, 80, frames], in place: a band and a moment of each window are as if silent."""
    for window in mel:
        floor = window.min()
        if rng.random() < 0.4:
            low, height = rng.integers(0, 70), rng.integers(1, 12)
            window[low : low + height] = floor
        if rng.random() < 0.3:
            start, length = rng.integers(0, window.shape[1]), rng.integers(2, 9)
            window[:, start : start + length] = floor
    return mel
