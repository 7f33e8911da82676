"""Trains the demo model. `python train.py --data SHARDS --out FOLDER --minutes N`; started again, it resumes."""

import argparse
import multiprocessing
import pickle
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import augment
from corpus import HELD_OUT
from data import IGNORED, TOKENIZER, Batches, Vocabulary, phone_name, unit_tokens
from decoding import transcribe, word_error_rate
from model import Muon, Trainee
from synth import HELD_OUT_VOICES, Espeak

WARMUP_STEPS = 200
MUON_RATE, ADAM_RATE = 0.01, 2e-3
SECONDS_A_BATCH = 60.0
WORD_SAMPLES = 3
RAREST_TOKEN = 8  # uses in the shards
SAVE_EVERY_S, TEST_EVERY_S = 240, 480


def find_vocabulary(folders: list[Path]) -> Vocabulary:
    """The tokens that are frequent enough to be learnt, those of the held-out sentences, and the phones."""
    phones, tokens = Counter(), Counter()
    for path in sorted(path for folder in folders for path in folder.glob("*.pkl")):
        for _, units, _, clip_phones, _, _ in pickle.loads(path.read_bytes()):
            tokens.update(token for unit in units for token in unit_tokens(unit))
            phones.update(phone_name(name) for _, name in clip_phones)
    frequent = {token for token, count in tokens.items() if count >= RAREST_TOKEN}
    expected = {
        token for line in HELD_OUT.read_text().splitlines() for unit in line.split() for token in unit_tokens(unit)
    }
    print("held-out words that are rare in the shards:", [TOKENIZER.decode([token]) for token in expected - frequent])
    return Vocabulary.of(frequent | expected, ["", *(name for name, _ in phones.most_common(80) if name)])


def losses(model: Trainee, batch: dict[str, torch.Tensor], begins_word: torch.Tensor) -> dict[str, torch.Tensor]:
    audio = model.encode(batch["mel"].bfloat16())
    logits, attention = model.decode(batch["inputs"], audio)
    targets = batch["targets"]
    text = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, label_smoothing=0.05)
    phones = F.cross_entropy(model.heard_phones(audio).flatten(0, 1), batch["phones"].flatten(), ignore_index=IGNORED)
    # How much of the attention is where the word is heard.
    position = torch.arange(audio.shape[1])
    first, last = batch["places"].unbind(-1)
    inside = (position >= first[..., None]) & (position <= last[..., None])
    guided = last > 0
    guide = -sum((weights * inside).sum(-1)[guided].clamp(min=1e-4).log().mean() for weights in attention) / len(
        attention
    )
    # What the encoder makes of a few positions in the second half of each word.
    window, place = (guided & (targets >= 0) & begins_word[targets]).repeat(WORD_SAMPLES, 1).nonzero(as_tuple=True)
    window = window % len(targets)
    middle, end = (first + last)[window, place] // 2, last[window, place] - 2
    chosen = (middle + torch.rand(len(middle)) * (end - middle)).long().clamp(0, audio.shape[1] - 1)
    words = F.cross_entropy(model.heard_words(audio[window, chosen]), targets[window, place])
    return {"text": text, "phones": phones, "guide": guide, "words": words}


def schedule(progress: float, step: int) -> float:
    """Learning rate, as a share of its peak: warm-up by steps, then down by time."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * max(0.0, 1 - progress)


def held_out_mels(count: int = 50) -> dict[str, tuple[torch.Tensor, list[str]]]:
    """Held-out sentences in three conditions, padded to the longest; and a few of them padded to 30 s."""
    espeak, rng = Espeak(), np.random.default_rng(3)
    lines = HELD_OUT.read_text().splitlines()[:count]
    sets = {}
    for condition in ("seen", "unseen", "noisy"):
        sounds = []
        for index, line in enumerate(lines):
            espeak.voice(
                HELD_OUT_VOICES[index % len(HELD_OUT_VOICES)]
                if condition == "unseen"
                else ["en", "en-us", "en+f3", "en-us+m3"][index % 4]
            )
            sound = espeak.speak([(word, word) for word in line.split()]).audio.astype(np.float32) / 32768 * 0.6
            sound = np.pad(sound, (3000, 8000))
            sounds.append(augment.add_noise(rng, sound, 15) if condition == "noisy" else sound)
        longest = -(-max(map(len, sounds)) // 320) * 320
        mel = augment.log_mel(
            torch.from_numpy(np.stack([np.pad(sound, (0, longest - len(sound))) for sound in sounds]))
        )
        sets[condition] = (mel, lines)
    silence = sets["seen"][0].amin(dim=(1, 2), keepdim=True)[:16]
    seen, lines = sets["seen"][0][:16], sets["seen"][1][:16]
    sets["30 s"] = (torch.cat([seen, silence.expand(-1, 80, 3000 - seen.shape[-1])], 2), lines)
    return sets


class Run:
    """Everything that a checkpoint holds."""

    def __init__(self, arguments):
        self.folder = arguments.out
        self.path = arguments.out / "checkpoint.pt"
        saved = torch.load(self.path, weights_only=False) if self.path.exists() else None
        self.vocabulary = saved["vocabulary"] if saved else find_vocabulary(arguments.data)
        torch.manual_seed(0)
        size = (len(self.vocabulary.tokens), len(self.vocabulary.phones))
        self.model, self.average = Trainee(*size), Trainee(*size)
        self.average.load_state_dict(self.model.state_dict())
        matrices = [p for name, p in self.model.named_parameters() if ".blocks." in name and p.dim() == 2]
        chosen = set(map(id, matrices))
        others = [p for p in self.model.parameters() if id(p) not in chosen]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
        self.step, self.elapsed = 0, 0.0
        if saved:
            for name in ("model", "average", "muon", "adam"):
                getattr(self, name).load_state_dict(saved[name])
            self.step, self.elapsed = saved["step"], saved["elapsed"]

    def save(self):
        state = {name: getattr(self, name).state_dict() for name in ("model", "average", "muon", "adam")}
        state |= {"vocabulary": self.vocabulary, "step": self.step, "elapsed": self.elapsed}
        torch.save(state, self.path.with_suffix(".part"))
        self.path.with_suffix(".part").rename(self.path)

    def log(self, text: str):
        line = f"{time.strftime('%H:%M:%S')} step {self.step} {self.elapsed / 60:.1f} min: {text}"
        print(line, flush=True)
        with open(self.folder / "log.txt", "a") as file:
            file.write(line + "\n")

    def learn(self, batch, progress: float) -> dict[str, float]:
        rate = schedule(progress, self.step)
        for group in self.muon.param_groups:
            group["lr"] = MUON_RATE * rate
        for group in self.adam.param_groups:
            group["lr"] = ADAM_RATE * rate
        parts = losses(self.model, batch, self.vocabulary.begins_word)
        helpers = min(1.0, (1 - progress) / 0.7)
        loss = parts["text"] + helpers * (0.7 * parts["phones"] + 0.3 * parts["guide"] + 0.7 * parts["words"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.adam.param_groups[0]["params"], 1.0)
        self.muon.step()
        self.adam.step()
        self.model.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()),
                list(self.model.parameters()),
                1 - min(0.998, self.step / (self.step + 10)),
            )
        self.step += 1
        return {name: part.item() for name, part in parts.items()}

    def test(self, sets):
        for condition, (mel, lines) in sets.items():
            heard = transcribe(self.average, self.vocabulary, mel)
            self.log(f"WER {condition} {100 * word_error_rate(lines, heard):.1f} %, as in: {heard[:3]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of shards, used evenly")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="of training, over all starts")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    run = Run(arguments)
    run.log(
        f"{sum(p.numel() for p in run.model.parameters()):,} parameters, "
        f"{len(run.vocabulary.tokens)} tokens, {len(run.vocabulary.phones)} phones"
    )
    progress = multiprocessing.Value("d", run.elapsed / 60 / arguments.minutes)
    sets = held_out_mels()
    batches = Batches(arguments.data, run.vocabulary, progress, SECONDS_A_BATCH, seed=run.step)
    loader = iter(torch.utils.data.DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=6))
    saved = tested = reported = run.elapsed
    sums, steps, heard_s, waited_s, last = Counter(), 0, 0.0, 0.0, time.monotonic()
    while progress.value < 1:
        before = time.monotonic()
        batch = next(loader)
        waited_s += time.monotonic() - before
        sums.update(run.learn(batch, progress.value))
        steps += 1
        heard_s += batch["mel"].shape[0] * batch["mel"].shape[2] / 100
        now = time.monotonic()
        run.elapsed += now - last
        last = now
        progress.value = run.elapsed / 60 / arguments.minutes
        if run.elapsed - reported > 60:
            means = ", ".join(f"{name} {total / steps:.3f}" for name, total in sums.items())
            spent = run.elapsed - reported
            run.log(
                f"{means}; {heard_s / spent:.0f} s of sound a second, {spent / steps:.2f} s a step, "
                f"{100 * waited_s / spent:.0f} % waiting"
            )
            sums, steps, heard_s, waited_s, reported = Counter(), 0, 0.0, 0.0, run.elapsed
        if run.elapsed - tested > TEST_EVERY_S:
            run.test(sets)
            tested = run.elapsed
        if run.elapsed - saved > SAVE_EVERY_S:
            run.save()
            saved = run.elapsed
    run.save()
    run.test(sets)
    run.log("finished")


if __name__ == "__main__":
    main()
