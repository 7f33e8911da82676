"""Speech from espeak-ng and flite, in this process, with the times of every word and phone.

Run as a program it fills a folder with shards: `python synth.py --out DIR --clips N --seed S`.
"""

import argparse
import ctypes as c
import pickle
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from corpus import Corpus, Sentence, normal

RATE = 16_000

ACCENTS = ["en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029"]
VARIANTS = """
    m1 m2 m3 m4 m6 m7 f1 f2 f3 f5 adam Alex Alicia Andy Annie antonio aunty belinda benjamin boris caleb david Denis
    Diogo ed edward edward2 Gene Gene2 grandma grandpa Gustave Henrique iven iven2 iven3 Jacky john kaukovalta klatt
    klatt2 klatt3 Lee linda Marcelo Marco Mario max Michael michel miguel mike norbert pablo paul pedro quincy rob
    robert sandro shelby steph steph3 Storm Tweaky victor zac anika AnxiousAndy
""".split()
FLITE = ["slt", "rms", "awb", "kal16"]
FLITE_SHARE = 0.2

# Never used in training.
HELD_OUT_VOICES = [
    "en-us-nyc",
    "en+m5",
    "en-us+f4",
    "en-us+travis",
    "en+Andrea",
    "en+Hugo",
    "en-us+m8",
    "en-gb-x-rp+steph2",
]

# Flite's phones, in the letters that espeak-ng uses.
ARPABET = dict(pair.split(":") for pair in """aa:ɑ ae:a ah:ʌ ao:ɔ aw:aʊ ax:ə axr:ɚ ay:aɪ b:b ch:tʃ d:d dh:ð dx:ɾ eh:ɛ er:ɜ ey:eɪ
    f:f g:ɡ hh:h ih:ɪ iy:i jh:dʒ k:k l:l m:m n:n ng:ŋ ow:əʊ oy:ɔɪ p:p r:ɹ s:s sh:ʃ t:t th:θ uh:ʊ uw:u v:v w:w y:j z:z zh:ʒ
    pau:""".split())  # fmt: skip


@dataclass
class Clip:
    """One spoken sentence without the silence around it. Times are in seconds from the first sample."""

    audio: np.ndarray  # int16, 16 kHz
    units: list[str]  # written words
    starts: list[float]  # of each unit
    phones: list[tuple[float, str]]  # start and name; "" is a pause
    voice: str


class _EspeakId(c.Union):
    _fields_ = [("number", c.c_int), ("name", c.c_char_p), ("string", c.c_char * 8)]


class _EspeakEvent(c.Structure):
    _fields_ = [
        ("type", c.c_int), ("unique_identifier", c.c_uint), ("text_position", c.c_int), ("length", c.c_int),
        ("audio_position", c.c_int), ("sample", c.c_int), ("user_data", c.c_void_p), ("id", _EspeakId),
    ]  # fmt: skip


_WORD, _PHONEME = 1, 7
_SYNCHRONOUS, _PHONEME_EVENTS_IN_IPA = 2, 3
_UTF8 = 1
_CALLBACK = c.CFUNCTYPE(c.c_int, c.POINTER(c.c_short), c.c_int, c.POINTER(_EspeakEvent))


class Espeak:
    """The espeak-ng library. There can be one in a process."""

    def __init__(self):
        self.lib = c.CDLL("libespeak-ng.so.1")
        self.rate = self.lib.espeak_Initialize(_SYNCHRONOUS, 500, None, _PHONEME_EVENTS_IN_IPA)
        self.audio: list[np.ndarray] = []
        self.words: list[tuple[int, float]] = []
        self.phones: list[tuple[float, str]] = []
        self.callback = _CALLBACK(self._receive)  # kept, or Python would free it
        self.lib.espeak_SetSynthCallback(self.callback)

    def _receive(self, samples, count, events):
        if samples and count > 0:
            self.audio.append(np.ctypeslib.as_array(samples, (count,)).copy())
        at = 0
        while events[at].type != 0:
            event = events[at]
            seconds = event.audio_position / 1000
            if event.type == _WORD:
                self.words.append((event.text_position - 1, seconds))
            elif event.type == _PHONEME:
                self.phones.append((seconds, event.id.string.decode(errors="ignore")))
            at += 1
        return 0

    def voice(self, name: str, speed: int = 175, pitch: int = 50, pitch_range: int = 50):
        """Sets how the next sentences sound: `name` is an accent and a variant, as in `en+f3`; `speed` is in words a minute."""
        if self.lib.espeak_SetVoiceByName(name.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {name}")
        for parameter, value in ((1, speed), (3, pitch), (4, pitch_range)):
            self.lib.espeak_SetParameter(parameter, value, 0)
        self.name = name

    def speak(self, sentence: Sentence) -> Clip:
        self.audio, self.words, self.phones = [], [], []
        text = " ".join(spoken for _, spoken in sentence)
        data = text.encode()
        self.lib.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None)
        starts, at = [], 0
        for _, spoken in sentence:
            starts.append(next((time for place, time in self.words if at <= place < at + len(spoken)), None))
            at += len(spoken) + 1
        audio = np.concatenate(self.audio) if self.audio else np.zeros(1, np.int16)
        return _trimmed(audio, self.rate, sentence, starts, self.phones, self.name)


class _FliteWave(c.Structure):
    _fields_ = [
        ("type", c.c_char_p),
        ("rate", c.c_int),
        ("samples", c.c_int),
        ("channels", c.c_int),
        ("data", c.POINTER(c.c_short)),
    ]


class _FliteVoice(c.Structure):
    _fields_ = [("name", c.c_char_p), ("features", c.c_void_p)]


class Flite:
    """The flite library and its voices."""

    def __init__(self):
        lib = c.CDLL("libflite.so.1", c.RTLD_GLOBAL)
        c.CDLL("libflite_usenglish.so.1", c.RTLD_GLOBAL)
        c.CDLL("libflite_cmulex.so.1", c.RTLD_GLOBAL)
        lib.flite_init()
        for name, answer, arguments in [
            ("flite_synth_text", c.c_void_p, [c.c_char_p, c.c_void_p]), ("utt_wave", c.POINTER(_FliteWave), [c.c_void_p]),
            ("utt_relation", c.c_void_p, [c.c_void_p, c.c_char_p]), ("relation_head", c.c_void_p, [c.c_void_p]),
            ("item_next", c.c_void_p, [c.c_void_p]), ("ffeature_string", c.c_char_p, [c.c_void_p, c.c_char_p]),
            ("ffeature_float", c.c_float, [c.c_void_p, c.c_char_p]), ("delete_utterance", None, [c.c_void_p]),
            ("feat_set_float", None, [c.c_void_p, c.c_char_p, c.c_float]),
        ]:  # fmt: skip
            function = getattr(lib, name)
            function.restype, function.argtypes = answer, arguments
        self.lib = lib
        self.voices = {}
        for name in FLITE:
            register = getattr(c.CDLL(f"libflite_cmu_us_{name}.so.1", c.RTLD_GLOBAL), f"register_cmu_us_{name}")
            register.restype, register.argtypes = c.POINTER(_FliteVoice), [c.c_char_p]
            self.voices[name] = register(None)

    def voice(self, name: str, stretch: float = 1.0):
        self.name = name
        self.lib.feat_set_float(self.voices[name].contents.features, b"duration_stretch", stretch)

    def _items(self, utterance, relation: bytes):
        item = self.lib.relation_head(self.lib.utt_relation(utterance, relation))
        while item:
            yield item
            item = self.lib.item_next(item)

    def speak(self, sentence: Sentence) -> Clip:
        text = " ".join(spoken for _, spoken in sentence)
        utterance = self.lib.flite_synth_text(text.encode(), self.voices[self.name])
        first_phone = b"daughter1.R:SylStructure.daughter1.daughter1.R:Segment.p.end"
        tokens = iter([self.lib.ffeature_float(token, first_phone) for token in self._items(utterance, b"Token")])
        starts = []
        for _, spoken in sentence:
            times = [next(tokens, None) for _ in spoken.split()]
            starts.append(times[0])
        phones, start = [], 0.0
        for segment in self._items(utterance, b"Segment"):
            name = self.lib.ffeature_string(segment, b"name").decode()
            phones.append((start, ARPABET[name]))
            start = self.lib.ffeature_float(segment, b"end")
        wave = self.lib.utt_wave(utterance).contents
        audio, rate = np.ctypeslib.as_array(wave.data, (wave.samples,)).copy(), wave.rate
        self.lib.delete_utterance(utterance)
        return _trimmed(audio, rate, sentence, starts, phones, f"flite-{self.name}")


def _trimmed(audio, rate, sentence, starts, phones, voice) -> Clip:
    """Resamples to 16 kHz, cuts the silence at both ends, and fills in the starts that the synthesiser left out."""
    if rate != RATE:
        divisor = np.gcd(rate, RATE)
        audio = np.clip(
            resample_poly(audio.astype(np.float32), RATE // divisor, rate // divisor), -32768, 32767
        ).astype(np.int16)
    loud = np.flatnonzero(np.abs(audio.astype(np.int32)) > max(60, int(np.abs(audio.astype(np.int32)).max()) // 150))
    first, last = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(audio))
    offset, end = first / RATE, (last - first) / RATE
    latest, filled = 0.0, []
    for start in starts:
        latest = latest if start is None else min(max(start - offset, latest), end)
        filled.append(latest)
    phones = [(max(0.0, start - offset), name) for start, name in phones if start - offset < end]
    return Clip(audio[first:last], [written for written, _ in sentence], filled, phones, voice)


class Speaker:
    """Speaks in voices that change at random, as training wants them."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        self.espeak, self.flite = Espeak(), Flite()

    def change(self):
        rng = self.rng
        if rng.random() < FLITE_SHARE:
            self.now = self.flite
            self.flite.voice(rng.choice(FLITE), rng.uniform(0.85, 1.25))
            return
        self.now = self.espeak
        accent = rng.choices(ACCENTS, [30, 30, 8, 8, 8, 8, 8])[0]
        plain = rng.random() < 0.35
        pitch = 50 if plain and rng.random() < 0.5 else rng.randint(30, 75)
        name = accent if plain else f"{accent}+{rng.choice(VARIANTS)}"
        self.espeak.voice(name, int(rng.triangular(115, 235, 165)), pitch, rng.randint(35, 70))

    def speak(self, sentence: Sentence) -> Clip:
        return self.now.speak(sentence)


def write_shard(path: Path, clips: list[Clip]):
    """A file of samples, and beside it a pickle of `(voice, units, starts, phones, first sample, samples)`."""
    index, at = [], 0
    with open(path.with_suffix(".part"), "wb") as file:
        for clip in clips:
            file.write(clip.audio.tobytes())
            index.append((clip.voice, clip.units, clip.starts, clip.phones, at, len(clip.audio)))
            at += len(clip.audio)
    path.with_suffix(".part").rename(path.with_suffix(".i16"))
    path.with_suffix(".pkl").write_bytes(pickle.dumps(index))


def words_of(folder: Path) -> Counter:
    """How often every word is in the shards."""
    words = Counter()
    for path in folder.glob("*.pkl"):
        for _, units, *_ in pickle.loads(path.read_bytes()):
            words.update(normal(" ".join(units)).split())
    return words


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seldom", type=Path, help="a folder of shards: use the words that are seldom there")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    used = words_of(arguments.seldom) if arguments.seldom else None
    corpus, speaker = Corpus(arguments.seed, used), Speaker(arguments.seed)
    clips = []
    for made in range(arguments.clips):
        if made % 10 == 0:
            speaker.change()
        clip = speaker.speak(corpus.sentence())
        if 0.2 < len(clip.audio) / RATE < 12:
            clips.append(clip)
        if len(clips) == 1000:
            write_shard(arguments.out / f"{arguments.seed:03}-{made // 1000:04}", clips)
            clips = []


if __name__ == "__main__":
    main()
