"""Whisper, as openai-whisper builds it, with what training needs around it.

The decoder's vocabulary is only the tokens that the corpus uses: the softmax is ten times smaller, and every row of the
embedding is trained. `export.py` puts the rows back into Whisper's vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from whisper.model import ModelDimensions, MultiHeadAttention, Whisper

WIDTH, HEADS, LAYERS = 256, 4, 4
# The decoder layers whose cross-attention is told where the words are: those that openai-whisper aligns words by.
GUIDED = range(LAYERS // 2, LAYERS)


def dimensions(n_vocab: int) -> ModelDimensions:
    return ModelDimensions(80, 1500, WIDTH, HEADS, LAYERS, n_vocab, 448, WIDTH, HEADS, LAYERS)


class Trainee(nn.Module):
    """The model, and two heads on the encoder, dropped at export: one names phones, one leads to the embedding of words."""

    def __init__(self, n_vocab: int, n_phones: int):
        super().__init__()
        self.whisper = Whisper(dimensions(n_vocab))
        self.phones = nn.Linear(WIDTH, n_phones)
        self.words = nn.Linear(WIDTH, WIDTH)
        nn.init.normal_(self.whisper.decoder.token_embedding.weight, std=0.02)
        nn.init.normal_(self.whisper.decoder.positional_embedding, std=0.01)
        for name, parameter in self.whisper.named_parameters():
            if name.endswith(("out.weight", "mlp.2.weight")):
                nn.init.normal_(parameter, std=0.02 / (2 * LAYERS) ** 0.5)

    def encode(self, mel: Tensor) -> Tensor:
        """[B, 80, frames] to [B, frames / 2, width]: `AudioEncoder.forward` for windows of any length."""
        MultiHeadAttention.use_sdpa = mel.shape[-1] > 800  # on a CPU its backward pass is slow for short windows
        encoder = self.whisper.encoder
        x = F.gelu(_convolve(encoder.conv1, mel.permute(0, 2, 1), stride=1))
        x = F.gelu(_convolve(encoder.conv2, x, stride=2))
        x = x + encoder.positional_embedding[: x.shape[1]].to(x.dtype)
        for block in encoder.blocks:
            x = block(x)
        return encoder.ln_post(x)

    def heard_phones(self, audio: Tensor) -> Tensor:
        """[..., width] to logits [..., phones]."""
        return F.linear(audio, self.phones.weight.to(audio.dtype), self.phones.bias.to(audio.dtype)).float()

    def heard_words(self, audio: Tensor) -> Tensor:
        """[..., width] to logits [..., vocab]: which word the encoder alone hears there."""
        x = F.linear(audio, self.words.weight.to(audio.dtype), self.words.bias.to(audio.dtype))
        return (x @ self.whisper.decoder.token_embedding.weight.to(x.dtype).T).float()

    def decode(self, tokens: Tensor, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits [B, L, vocab], and of each guided layer the cross-attention [B, L, positions], averaged over heads."""
        decoder = self.whisper.decoder
        x = (decoder.token_embedding(tokens) + decoder.positional_embedding[: tokens.shape[1]]).to(audio.dtype)
        attention = []
        for index, block in enumerate(decoder.blocks):
            x = x + block.attn(block.attn_ln(x), mask=decoder.mask)[0]
            if index in GUIDED:
                out, weights = _cross_attention(block.cross_attn, block.cross_attn_ln(x), audio)
                x = x + out
                attention.append(weights)
            else:
                x = x + block.cross_attn(block.cross_attn_ln(x), audio)[0]
            x = x + block.mlp(block.mlp_ln(x))
        x = decoder.ln(x)
        return (x @ decoder.token_embedding.weight.to(x.dtype).T).float(), attention


def _convolve(layer: nn.Module, x: Tensor, stride: int) -> Tensor:
    """[B, T, in] to [B, T / stride, out]: a convolution of three as one product, which is faster on a CPU."""
    x = F.pad(x, (0, 0, 1, 1)).unfold(1, 3, stride).flatten(2)
    return F.linear(x, layer.weight.flatten(1).to(x.dtype), layer.bias.to(x.dtype))


def _cross_attention(layer: nn.Module, x: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
    """`MultiHeadAttention.forward`, which also gives the weights away."""
    split = lambda y: y.view(*y.shape[:2], HEADS, -1).transpose(1, 2)  # noqa: E731
    query, key, value = split(layer.query(x)), split(layer.key(audio)), split(layer.value(audio))
    weights = (query @ key.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5).float().softmax(-1)
    out = (weights.to(value.dtype) @ value).transpose(1, 2).flatten(2)
    return layer.out(out), weights.mean(1)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is the nearest orthogonal matrix: for the matrices of the blocks.

    *Source*: https://kellerjordan.github.io/posts/muon/
    """

    def __init__(self, parameters, lr: float = 0.01, momentum: float = 0.95, weight_decay: float = 0.05):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes: dict[tuple, list] = {}
            for parameter in group["params"]:
                buffer = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                buffer.lerp_(parameter.grad, 1 - group["momentum"])
                rows, columns = parameter.shape
                update = parameter.grad.lerp(buffer, group["momentum"])
                update = update.T if rows > columns else update
                shapes.setdefault(update.shape, []).append((parameter, update))
            for pairs in shapes.values():
                updates = _orthogonal(torch.stack([update for _, update in pairs]))
                for (parameter, _), update in zip(pairs, updates):
                    rows, columns = parameter.shape
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(
                        update.T if rows > columns else update, alpha=-group["lr"] * max(1, rows / columns) ** 0.5
                    )


def _orthogonal(matrices: Tensor) -> Tensor:
    """[n, rows <= columns, columns]: five steps of a Newton-Schulz iteration."""
    x = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(5):
        square = x @ x.mT
        square = torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, square, x, beta=3.4445)
    return x.float()
