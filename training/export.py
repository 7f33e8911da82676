"""Writes the trained model in the formats that others read.

`python export.py --checkpoint FILE --bin FILE` makes whisper.cpp's ggml file in q8_0; `python export.py --bin FILE
--pt FILE` makes openai-whisper's file of the very same, already rounded, weights.
"""

import argparse
import base64
import struct
from pathlib import Path

import numpy as np
import torch
import whisper
from whisper.audio import mel_filters
from whisper.model import Whisper

import data  # noqa: F401  (its Vocabulary is in the checkpoint)
from model import Trainee, dimensions

MAGIC = 0x67676D6C
N_VOCAB = 51864
F32, F16, Q8_0 = 0, 1, 8
# ggml's number of the file type "mostly q8_0", and the version of its blocks.
FILE_TYPE = 2 * 1000 + 7
BLOCK = 32
FIELDS = """
    n_vocab n_audio_ctx n_audio_state n_audio_head n_audio_layer n_text_ctx n_text_state n_text_head
    n_text_layer n_mels
""".split()
# How far below the best logit the tokens that were never trained should be.
NEVER = 40.0


def load(checkpoint: Path) -> tuple[Trainee, "data.Vocabulary"]:
    """The weights as they are at the end; their average is ahead of them only while the learning rate is high."""
    saved = torch.load(checkpoint, weights_only=False)
    vocabulary = saved["vocabulary"]
    model = Trainee(len(vocabulary.tokens), len(vocabulary.phones))
    model.load_state_dict(saved["model"])
    return model.eval(), vocabulary


@torch.no_grad()
def decoder_outputs(model: Trainee, vocabulary) -> torch.Tensor:
    """[n, width]: what the decoder ends with on random and on spoken windows, whatever it is asked for."""
    from train import held_out_mels

    outputs = []
    hook = model.whisper.decoder.ln.register_forward_hook(lambda _, __, y: outputs.append(y.float().flatten(0, 1)))
    mels = [mel for mel, _ in held_out_mels(24).values()] + [
        torch.rand(8, 80, 400) * 2 - 1,
        torch.full((2, 80, 3000), -0.5),
    ]
    special = [vocabulary.number[token] for token in (data.TOKENIZER.sot, data.TOKENIZER.no_timestamps)]
    generator = torch.Generator().manual_seed(1)
    for mel in mels:
        audio = model.encode(mel)
        tokens = torch.tensor([special] * len(mel))
        for _ in range(16):
            tokens = torch.cat([tokens, model.decode(tokens, audio)[0][:, -1:].argmax(-1)], 1)
        model.decode(torch.randint(len(vocabulary.tokens), (len(mel), 20), generator=generator), audio)
    hook.remove()
    return torch.cat(outputs)


@torch.no_grad()
def never_chosen(model: Trainee, vocabulary) -> torch.Tensor:
    """The embedding of the tokens that were not trained: its logit is far below the best one, on all outputs."""
    outputs = decoder_outputs(model, vocabulary).double()
    best = (outputs.float() @ model.whisper.decoder.token_embedding.weight.T).amax(1).double()
    square = outputs.T @ outputs + 1e-3 * len(outputs) * torch.eye(outputs.shape[1]).double()
    row = torch.linalg.solve(square, outputs.T @ (best - NEVER))
    margin = best - outputs @ row
    print(
        f"untrained tokens are {margin.min():.1f} to {margin.max():.1f} below the best, {margin.mean():.1f} on average"
    )
    if margin.min() < 15:
        raise SystemExit("untrained tokens come too close; train longer or raise NEVER")
    return row.float()


@torch.no_grad()
def whisper_weights(checkpoint: Path) -> dict[str, np.ndarray]:
    """Tensors by Whisper's names, with the embedding of all of Whisper's tokens."""
    model, vocabulary = load(checkpoint)
    weights = {name: tensor.detach().float() for name, tensor in model.whisper.state_dict().items()}
    embedding = never_chosen(model, vocabulary).repeat(N_VOCAB, 1)
    embedding[vocabulary.tokens] = weights["decoder.token_embedding.weight"]
    weights["decoder.token_embedding.weight"] = embedding
    return {name: tensor.numpy() for name, tensor in weights.items()}


def quantise(values: np.ndarray) -> bytes:
    """q8_0: of every 32 values a scale in f16 and 32 bytes."""
    blocks = values.astype(np.float32).reshape(-1, BLOCK)
    scale = np.abs(blocks).max(1, keepdims=True) / 127
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    packed = np.empty(len(blocks), [("scale", "<f2"), ("values", "i1", BLOCK)])
    packed["scale"], packed["values"] = scale[:, 0], np.round(blocks * inverse)
    return packed.tobytes()


def dequantise(raw: bytes, shape: tuple[int, ...]) -> np.ndarray:
    packed = np.frombuffer(raw, [("scale", "<f2"), ("values", "i1", BLOCK)])
    return (packed["scale"].astype(np.float32)[:, None] * packed["values"]).reshape(shape)


def number_type(name: str, shape: tuple[int, ...]) -> int:
    """As whisper.cpp's converter and quantiser choose."""
    if len(shape) == 1 or name.endswith("positional_embedding"):
        return F32
    return Q8_0 if len(shape) == 2 else F16


def write_bin(path: Path, weights: dict[str, np.ndarray]):
    dims = dimensions(N_VOCAB)
    with open(path, "wb") as file:
        file.write(struct.pack("<12i", MAGIC, *(getattr(dims, field) for field in FIELDS), FILE_TYPE))
        filters = mel_filters("cpu", dims.n_mels).numpy().astype("<f4")
        file.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        lines = (Path(whisper.__file__).parent / "assets" / "gpt2.tiktoken").read_text().split("\n")
        tokens = [base64.b64decode(line.split()[0]) for line in lines if line]
        file.write(struct.pack("<i", len(tokens)))
        for token in tokens:
            file.write(struct.pack("<i", len(token)) + token)
        for name, values in weights.items():
            kind = number_type(name, values.shape)
            shape = (*values.shape, 1) if name in ("encoder.conv1.bias", "encoder.conv2.bias") else values.shape
            file.write(struct.pack("<3i", len(shape), len(name), kind))
            file.write(struct.pack(f"<{len(shape)}i", *reversed(shape)) + name.encode())
            raw = {F32: lambda v: v.astype("<f4").tobytes(), F16: lambda v: v.astype("<f2").tobytes(), Q8_0: quantise}[
                kind
            ]
            file.write(raw(values))


def read_bin(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a file that `write_bin` made, as f32."""
    content = path.read_bytes()
    at = 12 * 4
    bins, frequencies = struct.unpack_from("<2i", content, at)
    at += 8 + 4 * bins * frequencies
    (tokens,) = struct.unpack_from("<i", content, at)
    at += 4
    for _ in range(tokens):
        at += 4 + struct.unpack_from("<i", content, at)[0]
    weights = {}
    while at < len(content):
        n_dims, name_length, kind = struct.unpack_from("<3i", content, at)
        shape = struct.unpack_from(f"<{n_dims}i", content, at + 12)[::-1]
        at += 12 + 4 * n_dims
        name = content[at : at + name_length].decode()
        at += name_length
        count = int(np.prod(shape))
        size = {F32: 4 * count, F16: 2 * count, Q8_0: count // BLOCK * (BLOCK + 2)}[kind]
        raw = content[at : at + size]
        at += size
        values = (
            dequantise(raw, shape)
            if kind == Q8_0
            else np.frombuffer(raw, "<f4" if kind == F32 else "<f2").reshape(shape)
        )
        values = values[:, 0] if name.endswith("bias") and values.ndim == 2 else values
        weights[name] = torch.from_numpy(values.astype(np.float32))
    return weights


def write_pt(path: Path, weights: dict[str, torch.Tensor]):
    dims = dimensions(N_VOCAB)
    Whisper(dims).load_state_dict(weights)  # or it raises
    torch.save({"dims": dims.__dict__, "model_state_dict": weights}, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="of train.py; writes --bin")
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--pt", type=Path, help="reads --bin; writes this")
    arguments = parser.parse_args()
    if arguments.checkpoint:
        write_bin(arguments.bin, whisper_weights(arguments.checkpoint))
    if arguments.pt:
        write_pt(arguments.pt, read_bin(arguments.bin))


if __name__ == "__main__":
    main()
