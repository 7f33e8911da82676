"""Batches for training: clips from the shards, joined, spoiled and labelled."""

import pickle
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from whisper.tokenizer import get_tokenizer

import augment
from augment import RATE

TOKENIZER = get_tokenizer(multilingual=False)
POSITION = RATE // 50  # samples of one encoder position, and of one timestamp
IGNORED = -100
STEP = 16 * POSITION  # windows are padded to multiples of this: the fewer shapes, the fewer kernels to generate
LONGEST = 30 * RATE
MISTAKES = 0.08  # share of the words before that are replaced by random ones
ZERO_FILLED = 0.15  # share of the windows whose end is zeros in the spectrogram


@cache
def unit_tokens(unit: str) -> list[int]:
    return TOKENIZER.encode(" " + unit)


def phone_name(name: str) -> str:
    """Without length, syllabicity and palatalisation."""
    return name.rstrip("ː̩ʲ̪")


class Vocabulary:
    """The tokens that are trained, and the phones; both numbered from 0."""

    def __init__(self, tokens: list[int], phones: list[str]):
        self.tokens, self.phones = tokens, phones
        self.number = {token: number for number, token in enumerate(tokens)}
        begins = [token < TOKENIZER.eot and TOKENIZER.decode([token]).startswith(" ") for token in tokens]
        self.begins_word = torch.tensor(begins)
        self.phone_number = {phone: number for number, phone in enumerate(phones)}

    @staticmethod
    def of(words: set[int], phones: list[str]) -> "Vocabulary":
        """The tokens of words, and all special ones."""
        tokens = words | {
            TOKENIZER.eot,
            TOKENIZER.sot,
            TOKENIZER.no_speech,
            TOKENIZER.no_timestamps,
            TOKENIZER.sot_prev,
        }
        tokens |= set(range(TOKENIZER.timestamp_begin, TOKENIZER.timestamp_begin + 1501))
        return Vocabulary(sorted(tokens), phones)


@dataclass
class Window:
    """What the model hears at once. `sentences` holds the tokens of each with the places they are heard at."""

    audio: np.ndarray  # float32
    sentences: list[
        tuple[int, int, list[tuple[int, int, int]]]
    ]  # first and last sample; (token, first and last sample)
    phones: list[tuple[int, int]]  # first sample, number


class Clips:
    """The shards of some folders, the least used first, evenly from all folders. New ones may appear at any time."""

    def __init__(self, folders: list[Path], vocabulary: Vocabulary, rng: np.random.Generator):
        self.folders, self.vocabulary, self.rng = folders, vocabulary, rng
        self.used: dict[Path, int] = {}

    def some(self, shards: int) -> list[tuple[np.ndarray, list, list, list]]:
        """The clips of `shards` shards of each folder: samples, units, starts, phones."""
        paths = []
        for folder in self.folders:
            for path in folder.glob("*.pkl"):
                self.used.setdefault(path, 0)
            here = [path for path in self.used if path.parent == folder]
            paths += sorted(here, key=lambda path: (self.used[path], self.rng.random()))[:shards]
        clips = []
        for path in paths:
            self.used[path] += 1
            samples = np.fromfile(path.with_suffix(".i16"), np.int16)
            for _, units, starts, phones, first, count in pickle.loads(path.read_bytes()):
                if all(token in self.vocabulary.number for unit in units for token in unit_tokens(unit)):
                    clips.append((samples[first : first + count], units, starts, phones))
        return clips


class Batches(torch.utils.data.IterableDataset):
    """Endless batches of about `seconds` of sound. `progress` (shared, 0 to 1) is how far training has come."""

    def __init__(self, folders: list[Path], vocabulary: Vocabulary, progress, seconds: float, seed: int):
        self.folders, self.vocabulary, self.progress, self.seconds, self.seed = (
            folders,
            vocabulary,
            progress,
            seconds,
            seed,
        )

    def __iter__(self):
        torch.set_num_threads(1)
        self.rng = np.random.default_rng(self.seed)
        self.waiting: dict[int, list[Window]] = {}
        clips = Clips(self.folders, self.vocabulary, self.rng)
        while True:
            pool = clips.some(shards=3)
            self.rng.shuffle(pool)
            self.previous = pool[0][1]
            for start in range(0, len(pool), 600):
                yield from self._from_pool(pool[start : start + 600])

    def _from_pool(self, clips):
        """Cuts 600 clips into windows of one kind; those of equal length wait for one another to be a batch."""
        progress, rng = self.progress.value, self.rng
        longest = 2.2 if progress < 0.06 else 4 if progress < 0.15 else 12
        clips = [clip for clip in clips if len(clip[0]) < longest * RATE]
        if progress < 0.15:
            kind = "single"
        else:
            # Shares of computing time; a group of 600 clips takes about the same, but for "padded", which uses few of them.
            kind = rng.choice(
                ["single", "joined", "long", "padded"],
                p=[0.7, 0.15, 0.07, 0.08] if progress > 0.5 else [0.86, 0.12, 0.02, 0],
            )
        if kind == "single":
            groups = [[self._broken_off(clip) if progress > 0.3 and rng.random() < 0.08 else clip] for clip in clips]
        elif kind == "padded":
            groups = [clips[at : at + int(rng.choice([1, 1, 1, 2, 4]))] for at in range(0, 160, 4)]
        else:
            groups, at = [], 0
            while at < len(clips):
                room = (rng.uniform(3, 10) if kind == "joined" else rng.uniform(15, 36)) * RATE
                group = []
                while at < len(clips) and sum(len(clip[0]) + 8000 for clip in group) + len(clips[at][0]) < room:
                    group.append(clips[at])
                    at += 1
                if not group:
                    at += 1
                else:
                    groups.append(group)
        windows = [self._window(group) for group in groups]
        if progress > 0.1:
            windows += [self._silence() for _ in range(max(1, len(windows) // 30))]
        for window in windows:
            steps = -(-(LONGEST if kind == "padded" else len(window.audio)) // STEP)
            batch = self.waiting.setdefault(steps, [])
            batch.append(window)
            samples = min(steps * STEP, LONGEST)
            if len(batch) >= max(1, int(self.seconds * RATE / samples)):
                yield self._tensors(self.waiting.pop(steps), samples)

    def _broken_off(self, clip):
        """The first words of a clip: what a dictation has so far."""
        samples, units, starts, phones = clip
        words = int(self.rng.integers(1, len(units) + 1))
        if words == len(units) or starts[words] <= starts[words - 1]:
            return clip
        end = starts[words]
        phones = [(start, name) for start, name in phones if start < end]
        return samples[: int(end * RATE)], units[:words], starts[:words], phones

    def _window(self, clips) -> Window:
        rng, strength = self.rng, min(1.0, 0.3 + 5 * self.progress.value)
        factor = rng.uniform(0.88, 1.12) if rng.random() < 0.3 else 1.0
        at = int(rng.uniform(0, 0.4) ** 1.5 * RATE) if rng.random() < 0.9 else int(rng.uniform(0, 1.5) * RATE)
        pieces, sentences, phones = [np.zeros(at, np.float32)], [], [(0, 0)]
        for samples, units, starts, clip_phones in clips:
            sound = samples.astype(np.float32) / 32768
            sound *= rng.uniform(0.6, 1.4)
            if factor != 1.0:
                sound = augment.change_speed(sound, factor)
            place = lambda seconds: at + int(seconds * RATE / factor)  # noqa: E731, B023
            end = at + len(sound)
            tokens = []
            for unit, start, following in zip(units, starts, [*starts[1:], len(samples) / RATE]):
                tokens += [(token, place(start), place(following)) for token in unit_tokens(unit)]
            sentences.append((at, end, tokens))
            phones += [
                (place(start), self.vocabulary.phone_number.get(phone_name(name), IGNORED))
                for start, name in clip_phones
            ]
            phones.append((end, 0))
            gap = int((0.12 + 0.8 * rng.random() ** 3) * RATE)
            pieces += [sound, np.zeros(gap, np.float32)]
            at = end + gap
        after = rng.uniform(0.5, 2.5) if rng.random() < 0.2 else 0.02 + 0.6 * rng.random() ** 3
        pieces[-1] = np.zeros(int(after * RATE), np.float32)
        audio = augment.spoil(rng, np.concatenate(pieces), strength)[:LONGEST]
        return Window(audio, sentences, phones)

    def _silence(self) -> Window:
        rng = self.rng
        audio = np.zeros(int(rng.uniform(0.5, 4) * RATE), np.float32)
        if rng.random() < 0.85:
            audio = augment.noise(rng, len(audio)) * np.float32(10 ** (rng.uniform(-80, -12) / 20))
        return Window(np.clip(audio, -1, 1), [], [(0, 0)])

    def _label(self, window: Window) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        """Tokens in, tokens out (or IGNORED), and for each the samples that the decoder should attend to."""
        rng, progress = self.rng, self.progress.value
        nowhere, stamp = (0, 0), TOKENIZER.timestamp_begin
        stamped = rng.random() < (0.2 if progress < 0.15 else 0.5)
        tokens, places = [TOKENIZER.sot], [nowhere]
        if not window.sentences:
            tokens.append(stamp + int(rng.integers(51)) if stamped else TOKENIZER.no_timestamps)
            tokens.append(TOKENIZER.eot)
            return tokens[:-1], [TOKENIZER.no_speech, TOKENIZER.eot], [nowhere] * 2
        if not stamped:
            tokens.append(TOKENIZER.no_timestamps)
            places.append(nowhere)
        for first, last, words in window.sentences:
            # As Whisper does: of what goes on after the window only the start is told.
            goes_on = last > LONGEST
            if goes_on:
                words = [word for word in words if not stamped and word[2] < LONGEST]  # noqa: PLW2901
                if first >= LONGEST:
                    break
            if stamped:
                tokens.append(stamp + round(first / POSITION))
                places.append((first - 1600, first + 1600))
            tokens += [token for token, _, _ in words]
            places += [(start - 960, end + 960) for _, start, end in words]
            if stamped and not goes_on:
                tokens.append(stamp + round(last / POSITION))
                places.append((last - 1600, last + 1600))
        tokens.append(TOKENIZER.eot)
        inputs, targets, places = tokens[:-1], tokens[1:], places[1:] + [nowhere]
        if progress > 0.25 and rng.random() < 0.12:
            before = [TOKENIZER.sot_prev] + [token for unit in self.previous for token in unit_tokens(unit)]
            inputs, targets, places = (
                before + inputs,
                [IGNORED] * len(before) + targets,
                [nowhere] * len(before) + places,
            )
        return inputs, targets, places

    def _tensors(self, windows: list[Window], samples: int) -> dict[str, torch.Tensor]:
        rng = self.rng
        positions = samples // POSITION
        labels = []
        for window in windows:
            labels.append(self._label(window))
            if window.sentences and rng.random() < 0.5:
                self.previous = [TOKENIZER.decode([token for token, _, _ in window.sentences[0][2]]).strip()]
        length = -(-max(len(inputs) for inputs, _, _ in labels) // 4) * 4
        audio = np.zeros((len(windows), samples), np.float32)
        inputs = np.full((len(windows), length), self.vocabulary.number[TOKENIZER.eot])
        targets = np.full((len(windows), length), IGNORED)
        places = np.zeros((len(windows), length, 2), np.int64)
        phones = np.full((len(windows), positions), IGNORED)
        number = lambda tokens: [token if token == IGNORED else self.vocabulary.number[token] for token in tokens]  # noqa: E731
        for row, (window, (given, wanted, where)) in enumerate(zip(windows, labels)):
            audio[row, : len(window.audio)] = window.audio
            inputs[row, : len(given)], targets[row, : len(wanted)] = number(given), number(wanted)
            places[row, : len(where)] = where
            # The decoder should not trust what it wrote more than what it hears.
            wrong = (rng.random(length) < MISTAKES) & (inputs[row] < self.vocabulary.number[TOKENIZER.eot])
            inputs[row, wrong] = rng.integers(0, self.vocabulary.number[TOKENIZER.eot], wrong.sum())
            for start, phone in window.phones:
                phones[row, round(start / POSITION) :] = phone
            phones[row, len(window.audio) // POSITION + 10 :] = IGNORED
        mel = augment.mask(rng, augment.log_mel(torch.from_numpy(audio)))
        for row, window in enumerate(windows):
            # openai-whisper fills up the last window of a recording with zeros in the spectrogram, which are no silence.
            if rng.random() < ZERO_FILLED:
                mel[row, :, len(window.audio) // augment.HOP_LENGTH :] = 0
        return {
            "mel": mel, "inputs": torch.from_numpy(inputs), "targets": torch.from_numpy(targets),
            "places": torch.from_numpy(places) // POSITION, "phones": torch.from_numpy(phones),
        }  # fmt: skip
