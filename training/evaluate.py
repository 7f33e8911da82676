"""Word error rates on sentences and voices that were never trained on, through the `amanuensis` command.

`python evaluate.py --cli target/release/amanuensis --model FILE` synthesises the set, which is always the same, and prints
a table. With `--compare`, openai-whisper hears the same recordings with the same weights, and every text that differs
from that of our command in f32 is printed.
"""

import argparse
import json
import subprocess
import tempfile
import wave
from collections import defaultdict
from pathlib import Path

import numpy as np

import augment
from corpus import HELD_OUT, normal
from decoding import edits
from synth import FLITE, HELD_OUT_VOICES, RATE, Espeak, Flite

SEEN_VOICES = ["en", "en-us", "en+f3", "en-us+m3", "en-gb-scotland", "en-gb-x-rp+f2", "en-029", "en-us+adam"]
AT_A_TIME = 100  # files given to one command


def recordings():
    """`(condition, voice, sentence, sound)` of the whole set. Speed and noise are the same every time."""
    espeak, flite, rng = Espeak(), Flite(), np.random.default_rng(2026)
    lines = HELD_OUT.read_text().splitlines()
    for condition, voices in [
        ("seen", SEEN_VOICES),
        ("flite", FLITE),
        ("unseen", HELD_OUT_VOICES),
        ("noise 15 dB", SEEN_VOICES),
    ]:
        for index, line in enumerate(lines):
            voice, sentence = voices[index % len(voices)], [(word, word) for word in line.split()]
            if condition == "flite":
                flite.voice(voice)
                clip = flite.speak(sentence)
            else:
                espeak.voice(voice, speed=int(rng.integers(130, 181)))
                clip = espeak.speak(sentence)
            sound = clip.audio.astype(np.float32) / 32768
            sound = np.pad(sound * 0.5 / np.abs(sound).max(), (int(0.2 * RATE), int(0.4 * RATE)))
            yield condition, voice, line, augment.add_noise(rng, sound, 15) if condition == "noise 15 dB" else sound
    for index in range(24):
        level = -70 + 50 * index / 23
        sound = augment.noise(rng, int(rng.uniform(1, 8) * RATE)) * np.float32(10 ** (level / 20))
        yield "no speech", f"noise at {level:.0f} dB", "", sound if index else np.zeros_like(sound)


def write_wav(path: Path, sound: np.ndarray):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())


def by_cli(cli: Path, model: Path, files: list[Path], precision: str) -> list[str]:
    return [heard["text"] for heard in reports_of_cli(cli, model, files, precision)]


def reports_of_cli(cli: Path, model: Path, files: list[Path], precision: str) -> list[dict]:
    heard = []
    for start in range(0, len(files), AT_A_TIME):
        command = [
            cli,
            "transcribe",
            "--model",
            model,
            "--precision",
            precision,
            "--format",
            "json",
            *files[start : start + AT_A_TIME],
        ]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        heard += [json.loads(line) for line in output.splitlines()]
    return heard


def by_openai(model: Path, files: list[Path]) -> list[str]:
    return [heard.text for heard in results_of_openai(model, files)]


def results_of_openai(model: Path, files: list[Path]) -> list:
    import whisper

    from export import read_bin, write_pt

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "model.pt"
        write_pt(checkpoint, read_bin(model))
        loaded = whisper.load_model(str(checkpoint), device="cpu")
    heard = []
    for file in files:
        with wave.open(str(file)) as sound:
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float32) / 32768
        # Padded as Amanuensis does: `transcribe` would fill up with zeros in the spectrogram, which are no silence.
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples))
        heard.append(whisper.decode(loaded, mel, whisper.DecodingOptions(fp16=False, language="en")))
    return heard


def sampled(heard: dict) -> bool:
    """Whether the text was drawn at random, after the most likely one was too unlikely: then no two runs agree."""
    return any(segment["temperature"] > 0 for segment in heard["segments"])


def report(items: list[tuple[str, str, str]], texts: list[str]):
    """A line for all speech, for each condition and for each voice: word error rate, sentences without an error."""
    sums = defaultdict(lambda: [0, 0, 0, 0])
    for (condition, voice, line), text in zip(items, texts):
        if condition == "no speech":
            sums[condition, ""][2] += normal(text) == ""
            sums[condition, ""][3] += 1
            continue
        wrong = edits(normal(line).split(), normal(text).split())
        for key in (("all speech", ""), (condition, ""), (condition, voice)):
            for place, count in enumerate((wrong, len(normal(line).split()), wrong == 0, 1)):
                sums[key][place] += count
    print(f"{'condition':14}{'voice':22}{'WER %':>7}  without error")
    for (condition, voice), (wrong, words, right, count) in sorted(sums.items()):
        rate = f"{100 * wrong / words:.1f}" if words else ""
        print(f"{condition:14}{voice or 'all':22}{rate:>7}  {right} of {count}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="ggml file")
    parser.add_argument("--cli", type=Path, help="our command; without it openai-whisper is evaluated")
    parser.add_argument("--precision", default="int8", choices=["int8", "bf16", "f32"])
    parser.add_argument(
        "--compare", action="store_true", help="our command in f32 with openai-whisper, instead of figures"
    )
    parser.add_argument("--every", type=int, default=1, help="only every N-th recording")
    parser.add_argument("--wrong", action="store_true", help="print every text that is not as spoken")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        items, files = [], []
        for index, (condition, voice, line, sound) in enumerate(recordings()):
            if index % arguments.every == 0:
                items.append((condition, voice, line))
                files.append(Path(folder) / f"{index:04}.wav")
                write_wav(files[-1], sound)
        if arguments.compare:
            ours = reports_of_cli(arguments.cli, arguments.model, files, "f32")
            theirs = results_of_openai(arguments.model, files)
            pairs = [
                (item, our["text"], their.text)
                for item, our, their in zip(items, ours, theirs)
                if item[0] != "no speech" and not sampled(our)
            ]
            different = [pair for pair in pairs if pair[1] != pair[2]]
            for item, our, their in different:
                print(f"{item}:\n  ours   {our}\n  theirs {their}")
            print(
                f"{len(pairs) - len(different)} of {len(pairs)} texts are identical; {len(items) - len(pairs)} were drawn at random"
            )
            raise SystemExit(1 if different else 0)
        texts = (
            by_cli(arguments.cli, arguments.model, files, arguments.precision)
            if arguments.cli
            else by_openai(arguments.model, files)
        )
    report(items, texts)
    if arguments.wrong:
        for item, text in zip(items, texts):
            if normal(item[2]) != normal(text):
                print(f"{item[0]}, {item[1]}: {item[2]}\n    {text}")


if __name__ == "__main__":
    main()
