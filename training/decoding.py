"""Greedy decoding of many windows at once, and word error rates: enough to watch training."""

import torch

from corpus import normal
from data import TOKENIZER, Vocabulary
from model import Trainee


@torch.no_grad()
def transcribe(model: Trainee, vocabulary: Vocabulary, mel: torch.Tensor, longest: int = 48) -> list[str]:
    """The texts of [B, 80, frames], decoded without timestamps."""
    audio = model.encode(mel.bfloat16())
    number = vocabulary.number
    tokens = torch.tensor([[number[TOKENIZER.sot], number[TOKENIZER.no_timestamps]]] * len(mel))
    done = torch.zeros(len(mel), dtype=torch.bool)
    for _ in range(longest):
        following = model.decode(tokens, audio)[0][:, -1].argmax(-1)
        following[done] = number[TOKENIZER.eot]
        tokens = torch.cat([tokens, following[:, None]], 1)
        done |= following == number[TOKENIZER.eot]
        if done.all():
            break
    rows = [[vocabulary.tokens[token] for token in row[2:]] for row in tokens.tolist()]
    return [TOKENIZER.decode([token for token in row if token < TOKENIZER.eot]).strip() for row in rows]


def edits(reference: list[str], heard: list[str]) -> int:
    """The fewest words to insert, delete or replace."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(reference, 1):
        before, row[0] = row[0], at
        for place, other in enumerate(heard, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]


def word_error_rate(references: list[str], heard: list[str]) -> float:
    pairs = [(normal(reference).split(), normal(text).split()) for reference, text in zip(references, heard)]
    return sum(edits(*pair) for pair in pairs) / sum(len(reference) for reference, _ in pairs)
