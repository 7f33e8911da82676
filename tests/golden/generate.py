"""Writes what openai-whisper computes from models and clips that the tests rebuild.

Run by hand, with the packages of requirements.txt:

    python generate.py

Weights and clips come from SplitMix64, written here and in src/random.rs alike, so that only results are stored:
data/expectations.json, data/values.bin (32-bit floats that the former points into) and the two vocabularies.

Every sequence of tokens is decoded again with noise, some ten times what another order of summation makes, laid over
every layer normalisation. A model whose tokens change by it gets the next seed.
"""

import base64
import gzip
import json
import multiprocessing
import os
import subprocess
import sys
import zlib

import gguf
import numpy as np
import tiktoken
import torch
import whisper
from whisper.audio import N_SAMPLES, log_mel_spectrogram, pad_or_trim
from whisper.decoding import DecodingOptions
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import get_tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "data")
SPEECH = os.path.join(HERE, "..", "audio", "jfk.flac")
NOISE = 2e-5
NOISES = 1
# Most tokens of a window, but where the context's end is the point: it keeps the tests quick.
MOST_TOKENS = 48

torch.set_num_threads(1)
torch.manual_seed(0)


# What src/random.rs does.

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def stream(seed, count):
    with np.errstate(over="ignore"):
        return mix(np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN))


def seed_of(name, seed):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value ^ seed


def noise(seed, count, amplitude):
    values = (stream(seed, count) >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return values * np.float32(amplitude)


# What src/model.rs does.


def few_bits(value):
    """The next smaller number of three significant bits: products with 8-bit numbers are whole in 16-bit floats."""
    power = 1.0
    while power > value:
        power /= 2
    return np.floor(value / power * 4) / 4 * power


# The first that fits. Chosen so that tokens vary, with the place, with the tokens before and with the sound.
GAINS = [
    ("cross_attn.out.weight", 1.0),
    ("attn.out.weight", 1.5),
    ("attn.query.weight", 2.0),
    ("attn.key.weight", 2.0),
    ("attn.value.weight", 1.0),
    ("mlp.0.weight", 2.0),
    ("mlp.2.weight", 2.0),
    ("conv1.weight", 2.0),
    ("conv2.weight", 1.5),
    ("token_embedding.weight", 2.4),
]


def weights(name, shape, seed, eot):
    count = int(np.prod(shape))
    steps = (stream(seed_of(name, seed), count) >> np.uint64(55)).astype(np.float32) - np.float32(256)
    gain = next((gain for ending, gain in GAINS if name.endswith(ending)), None)
    if gain is not None:
        scale = few_bits(gain * np.sqrt(3.0) / (256.0 * np.sqrt(float(np.prod(shape[1:])))))
        values = steps * np.float32(scale)
    elif name.endswith("positional_embedding"):
        values = steps * np.float32(2.0**-7)
    elif ("ln" in name) and name.endswith("weight"):
        values = np.float32(1) + steps * np.float32(2.0**-10)
    else:
        values = steps * np.float32(2.0**-11)
    values = values.reshape(shape)
    if name == "decoder.token_embedding.weight":
        # Texts that end, and not at once.
        values[eot] = (values[eot] * 3).astype(np.float16).astype(np.float32)
    return values


def build(dims, seed):
    model = Whisper(ModelDimensions(**dims))
    eot = 50257 if model.is_multilingual else 50256
    state = model.state_dict()
    for name, tensor in state.items():
        state[name] = torch.from_numpy(weights(name, tuple(tensor.shape), seed, eot))
    model.load_state_dict(state)
    return model.eval()


# What src/clips.rs does.


def load_speech():
    command = ["ffmpeg", "-v", "error", "-i", SPEECH, "-f", "s16le", "-ac", "1", "-ar", "16000", "-"]
    samples = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.int16)
    return samples.astype(np.float32) / 32768.0


def render(pieces):
    out = []
    for piece in pieces:
        kind, count = piece["kind"], piece["samples"]
        if kind == "speech":
            out.append(load_speech()[piece["from"] :][:count] * np.float32(piece["gain"]))
        elif kind == "noise":
            out.append(noise(piece["seed"], count, piece["gain"]))
        elif kind == "square":
            half = piece["period"] // 2
            sign = np.where((np.arange(count) // half) % 2 == 0, 1.0, -1.0)
            out.append(sign.astype(np.float32) * np.float32(piece["gain"]))
        else:
            out.append(np.zeros(count, np.float32))
    return np.concatenate(out).astype(np.float32)


def piece(kind, samples, gain=1.0, seed=0, start=0, period=0):
    return {"kind": kind, "samples": samples, "gain": gain, "seed": seed, "from": start, "period": period}


CLIPS = {
    "speech": [piece("speech", 176_000)],
    "silence": [piece("silence", 480_000)],
    "noise": [piece("noise", 480_000, gain=0.125, seed=1)],
    "full-scale": [piece("square", 240_000, period=36), piece("noise", 240_000, seed=2)],
    "tone-then-quiet": [piece("square", 100_000, period=160), piece("noise", 380_000, gain=2.0**-12, seed=3)],
    # 74.2 s: the last window is a part of one, and its last hop too.
    "long": [
        piece("speech", 176_000),
        piece("noise", 100_000, gain=0.0625, seed=4),
        piece("speech", 120_000, gain=0.5, start=30_000),
        piece("square", 40_000, gain=0.25, period=50),
        piece("speech", 176_000, gain=0.25),
        piece("noise", 160_077, gain=0.5, seed=5),
        piece("speech", 176_000, gain=1.0),
        piece("silence", 60_000),
        piece("speech", 100_000, gain=0.5, start=60_000),
        piece("noise", 80_000, gain=0.25, seed=6),
    ],
}


# Results.

arrays = []


def put(values):
    """Stores 32-bit floats and returns where: the first and the count."""
    values = np.asarray(values, np.float32).ravel()
    first = sum(len(array) for array in arrays)
    arrays.append(values)
    return [first, len(values)]


def window(samples, n_mels):
    return log_mel_spectrogram(torch.from_numpy(pad_or_trim(samples)), n_mels)


def mel_cases():
    cases = []
    frames = sorted({0, 1, 2, 3, 1098, 1099, 1100, 1101, 2996, 2997, 2998, 2999} | set(range(7, 3000, 97)))
    for clip in ["speech", "silence", "noise", "full-scale", "tone-then-quiet"]:
        for n_mels in [80, 128]:
            mel = window(render(CLIPS[clip]), n_mels).T
            cases.append({"clip": clip, "n_mels": n_mels, "frames": frames, "values": put(mel[frames])})
    return cases


def shake(model, seed):
    """Lays noise over every layer normalisation; returns what takes it off again."""
    generator = torch.Generator().manual_seed(seed)

    def hook(_module, _inputs, output):
        return output + NOISE * torch.randn(output.shape, generator=generator)

    return [
        module.register_forward_hook(hook)
        for module in model.modules()
        if isinstance(module, torch.nn.LayerNorm)
    ]


class Fragile(Exception):
    """Noise changes the tokens."""


class Dull(Exception):
    """The texts are too short to show anything."""


def steadily(model, what, key):
    result = what()
    for seed in range(NOISES):
        hooks = shake(model, seed)
        try:
            if key(what()) != key(result):
                raise Fragile(str(key(result))[:200])
        finally:
            for hook in hooks:
                hook.remove()
    return result


def decode_case(model, clip, **options):
    mel = window(render(CLIPS[clip]), model.dims.n_mels)
    options.setdefault("sample_len", MOST_TOKENS)

    def run():
        return model.decode(mel, DecodingOptions(fp16=False, **options))

    result = steadily(model, run, lambda result: (result.tokens, result.language))
    return {
        "clip": clip,
        "language": options.get("language"),
        "task": options.get("task", "transcribe"),
        "beams": options.get("beam_size"),
        "timestamps": not options.get("without_timestamps", False),
        "most_tokens": options["sample_len"],
        "prompt": list(options.get("prompt", [])),
        "prefix": list(options.get("prefix", [])),
        "detected": result.language,
        "tokens": result.tokens,
        "text": result.text,
        "avg_logprob": result.avg_logprob,
        "no_speech_prob": result.no_speech_prob,
        "compression_ratio": result.compression_ratio,
    }


def transcribe(model, samples, **options):
    """whisper.transcribe, but for two things.

    Each window's spectrogram is that of its own samples and of silence after them, and a window without words is left
    behind as a whole.
    """
    module = sys.modules["whisper.transcribe"]
    kept = module.log_mel_spectrogram, module.pad_or_trim, module.get_end
    module.get_end = lambda segments: next(
        (word["end"] for segment in reversed(segments) for word in reversed(segment["words"])), None
    )
    # The "spectrogram" of the whole counts frames, so that a cut tells where it was made.
    module.log_mel_spectrogram = lambda audio, n_mels, padding: torch.arange(
        (len(audio) + padding) // 160, dtype=torch.float32
    )[None]
    module.pad_or_trim = lambda mel, length: window(samples[int(mel[0, 0]) * 160 :], model.dims.n_mels)
    try:
        return whisper.transcribe(
            model,
            samples,
            temperature=0.0,
            compression_ratio_threshold=None,
            logprob_threshold=None,
            no_speech_threshold=None,
            fp16=False,
            sample_len=MOST_TOKENS,
            **options,
        )
    finally:
        module.log_mel_spectrogram, module.pad_or_trim, module.get_end = kept


def recording_case(model, clip, **options):
    samples = render(CLIPS[clip])

    def key(result):
        return [
            (segment["start"], segment["end"], segment["tokens"], [(w["start"], w["end"]) for w in segment.get("words", [])])
            for segment in result["segments"]
        ]

    result = steadily(model, lambda: transcribe(model, samples, **options), key)
    return {
        "clip": clip,
        "language": options.get("language"),
        "beams": options.get("beam_size"),
        "most_tokens": MOST_TOKENS,
        "word_timestamps": options.get("word_timestamps", False),
        "condition_on_previous_text": options.get("condition_on_previous_text", True),
        "prompt": options.get("initial_prompt"),
        "detected": result["language"],
        "segments": [
            {
                "start": segment["start"],
                "end": segment["end"],
                "tokens": segment["tokens"],
                "text": segment["text"],
                "words": [
                    {key: float(word[key]) if key != "word" else word[key] for key in ["word", "start", "end", "probability"]}
                    for word in segment.get("words", [])
                ],
            }
            for segment in result["segments"]
            if segment["tokens"]
        ],
    }


def encoder_case(model, clip):
    positions = sorted({0, 1, 2, 548, 549, 550, 551, 1498, 1499} | set(range(5, 1500, 113)))
    output = model.encoder(window(render(CLIPS[clip]), model.dims.n_mels)[None])[0]
    return {"clip": clip, "positions": positions, "values": put(output[positions])}


def logits_case(model, clip):
    """Every position of a prompt and some text: logits of every 397th token."""
    tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages, language="en", task="transcribe")
    tokens = list(tokenizer.sot_sequence) + tokenizer.encode(" And so my fellow Americans") + [tokenizer.eot]
    features = model.encoder(window(render(CLIPS[clip]), model.dims.n_mels)[None])
    logits = model.decoder(torch.tensor([tokens]), features)[0]
    return {"clip": clip, "tokens": tokens, "every": 397, "values": put(logits[:, ::397])}


def language_case(model, clip):
    mel = window(render(CLIPS[clip]), model.dims.n_mels)
    _, found = model.detect_language(mel)
    best = sorted(found, key=found.get, reverse=True)[:5]
    return {"clip": clip, "best": [[code, found[code]] for code in best]}


def model_cases(name, dims, heads=None):
    """The cases of a model, and the values that they point into. Runs in a process of its own."""
    seed = 0
    while True:
        seed += 1
        arrays.clear()
        model = build(dims, seed)
        if heads:
            model.set_alignment_heads(heads)
        try:
            return cases_of(name, model, dims, seed), list(arrays)
        except (Fragile, Dull) as reason:
            print(f"{name}, seed {seed}: {type(reason).__name__}: {reason}", flush=True)


@torch.no_grad()
def cases_of(name, model, dims, seed):
    multilingual = model.is_multilingual
    whole = name == "tiny.en"
    decodes, recordings = [], []
    clips = ["speech"] if whole else ["speech", "noise"]
    lengths = []
    for clip in clips:
        features = model.encoder(window(render(CLIPS[clip]), dims["n_mels"])[None])[0]
        for without in [False, True]:
            options = DecodingOptions(fp16=False, language="en", without_timestamps=without, sample_len=MOST_TOKENS)
            lengths.append(len(set(model.decode(features, options).tokens)))
    if min(lengths) < 6:
        raise Dull(str(lengths))
    for clip in clips:
        for beams in [None, 5]:
            for without in [False, True]:
                options = {"beam_size": beams, "without_timestamps": without}
                decodes.append(decode_case(model, clip, language="en", **options))
    if whole:
        recordings.append(recording_case(model, "speech", word_timestamps=True))
    else:
        tokenizer = get_tokenizer(multilingual, num_languages=model.num_languages)
        prompt = tokenizer.encode(" Ask not what your country can do for you")
        decodes.append(decode_case(model, "speech", language="en", prompt=prompt))
        # More than fits: the last 223 tokens are taken, and what follows them is cut off by the context.
        decodes.append(decode_case(model, "noise", language="en", prompt=prompt * 40, without_timestamps=True, sample_len=None))
        decodes.append(decode_case(model, "speech", language="en", prefix=tokenizer.encode(" And so"), beam_size=5))
        if multilingual:
            decodes.append(decode_case(model, "noise", language="de", task="translate", beam_size=5))
            decodes.append(decode_case(model, "speech"))
            decodes.append(decode_case(model, "noise", language="ja", beam_size=3))
        recordings.append(recording_case(model, "long", language="en"))
        recordings.append(recording_case(model, "long", language="en", condition_on_previous_text=False))
        recordings.append(recording_case(model, "long", language="en", word_timestamps=True, initial_prompt="Mr. Kennedy"))
        if multilingual:
            recordings.append(recording_case(model, "long", word_timestamps=True, beam_size=5))
            recordings.append(recording_case(model, "speech", language="ja", word_timestamps=True))
    print(name, seed, [len(case["tokens"]) for case in decodes], [len(case["segments"]) for case in recordings], flush=True)
    return {
        "name": name,
        "dims": dims,
        "seed": seed,
        "alignment_heads": model.alignment_heads.indices().T.tolist(),
        "encoder": [encoder_case(model, clip) for clip in clips],
        "logits": [logits_case(model, clip) for clip in clips],
        "languages": [language_case(model, clip) for clip in clips] if multilingual else [],
        "decodes": decodes,
        "recordings": recordings,
    }


def dims(n_vocab, n_mels, state=64, audio=(4, 2), text=(2, 3)):
    return {
        "n_mels": n_mels,
        "n_audio_ctx": 1500,
        "n_audio_state": state,
        "n_audio_head": audio[0],
        "n_audio_layer": audio[1],
        "n_vocab": n_vocab,
        "n_text_ctx": 448,
        "n_text_state": state,
        "n_text_head": text[0],
        "n_text_layer": text[1],
    }


TEXTS = [
    "And so my fellow Americans, ask not what your country can do for you.",
    " leading, trailing ",
    "I've they're we'll he'd it's I'm don't O'Neill'S rock'n'roll ''quoted''",
    "I’ve “curly” – and — dashes…",
    "1,234.56 €/kg 50% x² ½ ⅷ ٣٤٥ 12345678901234567890",
    "tabs\tand\nlines\r\n\n\n  and   runs    of spaces   \n  ",
    "\u00a0no\u00a0break\u2003em\u3000ideographic\u200bzero\u2028line\u0085next",
    "Größe, naïve café, Ærøskøbing, Łódź, ĳ, e\u0301 (combining)",
    "こんにちは、世界。今日は良い天気ですね！ 漢字かなカナ",
    "你好，世界。繁體字與簡體字",
    "안녕하세요 세계",
    "Привет, мир! Ещё раз.",
    "مرحبا بالعالم ١٢٣",
    "שלום עולם",
    "สวัสดีชาวโลก",
    "नमस्ते दुनिया",
    "👍🏽 👩‍👩‍👧‍👦 🇩🇪 ❤️ ♪♪ ♫",
    "if (x[i] != 0) { return y->z; } // #define __FOO__ 0xFFee",
    "https://example.com/a_b?c=d&e=f#g user@example.org",
    "<|startoftranscript|",
    "\x00\x01\x1f\x7f control",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "----====____****....,,,,;;;;::::!!!!????",
    "\ufeffbom \ufffd replacement \U0010ffff last",
    "",
    " ",
    "   ",
    "\n",
]


def tokenizer_cases():
    out = {}
    for name, multilingual in [("gpt2", False), ("multilingual", True)]:
        tokenizer = get_tokenizer(multilingual, num_languages=99)
        eot = tokenizer.eot
        random = [
            [int(value % eot) for value in stream(100 + index, 24)] for index in range(20)
        ]
        out[name] = {
            "texts": [[text, tokenizer.encode(text)] for text in TEXTS],
            "decoded": [[tokens, tokenizer.encoding.decode(tokens)] for tokens in random],
            "non_speech": list(tokenizer.non_speech_tokens),
            "words": [
                [language, tokens, get_tokenizer(True, language=language).split_to_word_tokens(tokens + [eot])[0][:-1]]
                for language in ["en", "ja"]
                for tokens in ([tokenizer.encode(text) for text in TEXTS if text] if multilingual else [])
            ],
        }
    return out


def alignment_cases():
    """Layers, heads, and the heads that OpenAI found, for each published model."""
    shapes = {
        "tiny": (4, 6, 384), "base": (6, 8, 512), "small": (12, 12, 768), "medium": (24, 16, 1024),
        "large": (32, 20, 1280), "turbo": (4, 20, 1280),
    }  # fmt: skip
    out = []
    for name, dump in whisper._ALIGNMENT_HEADS.items():
        # Of the dimensions of large-v1 and large-v2 the latter's are taken; the other names are aliases.
        if name in ["large-v1", "large", "turbo"]:
            continue
        kind = "turbo" if "turbo" in name else name.split(".")[0].split("-")[0]
        layers, heads, state = shapes[kind]
        n_vocab = 51864 if name.endswith(".en") else 51866 if "v3" in name else 51865
        mask = np.frombuffer(gzip.decompress(base64.b85decode(dump)), dtype=bool).reshape(layers, heads)
        found = [[int(layer), int(head)] for layer, head in np.argwhere(mask)]
        out.append({"name": name, "layers": layers, "heads": heads, "state": state, "n_vocab": n_vocab, "found": found})
    return out


def quantised_cases():
    out = []
    values = noise(7, 256, 2.0)
    values[64:96] = 0
    for name in ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]:
        kind = gguf.GGMLQuantizationType[name]
        packed = gguf.quants.quantize(values.reshape(4, 64), kind)
        out.append({
            "name": name,
            "bytes": base64.b64encode(packed.tobytes()).decode(),
            "values": put(gguf.quants.dequantize(packed, kind)),
        })  # fmt: skip
    return out


def write_vocabularies():
    """Each token's length in a byte and its bytes, in order of the ids, deflated."""
    for name in ["gpt2", "multilingual"]:
        path = os.path.join(os.path.dirname(whisper.__file__), "assets", f"{name}.tiktoken")
        ranks = {}
        for line in open(path):
            token, rank = line.split()
            ranks[int(rank)] = base64.b64decode(token)
        tokens = [ranks[rank] for rank in range(len(ranks))]
        packed = b"".join(bytes([len(token)]) + token for token in tokens)
        with open(os.path.join(DATA, f"{name}.vocabulary"), "wb") as file:
            file.write(zlib.compress(packed, 9))


@torch.no_grad()
def main():
    os.makedirs(DATA, exist_ok=True)
    write_vocabularies()
    expectations = {
        "made_with": {
            "openai-whisper": whisper.__version__,
            "torch": torch.__version__,
            "tiktoken": tiktoken.__version__,
            "numpy": np.__version__,
        },
        "clips": {name: {"pieces": pieces, "sum": float(np.abs(render(pieces).astype(np.float64)).sum())} for name, pieces in CLIPS.items()},
        "mel": mel_cases(),
        "tokenizers": tokenizer_cases(),
        "alignment_heads": alignment_cases(),
        "quantised": quantised_cases(),
        "models": [],
    }
    models = [
        ("english", dims(51864, 80)),
        ("multilingual", dims(51865, 80)),
        ("third", dims(51866, 128)),
        ("tiny.en", dims(51864, 80, 384, (6, 4), (6, 4)), whisper._ALIGNMENT_HEADS["tiny.en"]),
    ]
    with multiprocessing.get_context("spawn").Pool(len(models)) as pool:
        for model, values in pool.starmap(model_cases, models):
            base = sum(len(array) for array in arrays)
            for case in model["encoder"] + model["logits"]:
                case["values"][0] += base
            arrays.extend(values)
            expectations["models"].append(model)
    with open(os.path.join(DATA, "expectations.json"), "w") as file:
        json.dump(expectations, file, ensure_ascii=False, separators=(",", ":"))
    with open(os.path.join(DATA, "values.bin"), "wb") as file:
        file.write(np.concatenate(arrays).astype("<f4").tobytes())


if __name__ == "__main__":
    main()
