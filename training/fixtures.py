"""Writes `tests/speech`: a few held-out sentences, spoken as `espeak-ng -s 140` does, that the model hears exactly right.

`python fixtures.py --cli target/release/amanuensis --model FILE --out ../tests/speech` also prints all sentences that pass in
both precisions.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from corpus import HELD_OUT
from evaluate import by_cli, write_wav
from synth import RATE, Espeak

VOICE = "en"
SPEED = 140
LONGEST_S = 3.1  # 100 kB
KEPT = 6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cli", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    espeak, spoken = Espeak(), []
    with tempfile.TemporaryDirectory() as folder:
        for index, line in enumerate(HELD_OUT.read_text().splitlines()):
            espeak.voice(VOICE, SPEED)
            clip = espeak.speak([(word, word) for word in line.split()])
            sound = np.pad(clip.audio.astype(np.float32) / 32768, int(0.1 * RATE))
            path = Path(folder) / f"{index:03}.wav"
            write_wav(path, sound)
            spoken.append((line, path, sound))
        for precision in ("int8", "f32"):
            texts = by_cli(arguments.cli, arguments.model, [path for _, path, _ in spoken], precision)
            spoken = [item for item, text in zip(spoken, texts) if item[0] == text]
            print(f"{len(spoken)} are exactly right in {precision}")
    for line, _, sound in spoken:
        print(f"{len(sound) / RATE:.1f} s  {line}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    expected = {}
    for line, _, sound in spoken:
        if len(sound) / RATE <= LONGEST_S and len(expected) < KEPT and line not in expected.values():
            name = "-".join(line.lower().strip(".?").replace(",", "").split()[:4]) + ".wav"
            write_wav(arguments.out / name, sound)
            expected[name] = line
    (arguments.out / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
