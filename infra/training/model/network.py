"""Whisper's architecture, its modules named as in Hugging Face's layout, so weights fit by name.

Positions and timestamps are tables in a model from elsewhere. In one that starts from nothing
they are sinusoids through a small learned map: what is learned at one time holds at all times.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from numpy.typing import NDArray
from torch import Tensor, nn

from infra.training.model.layout import Shape, Weights, check

TABLES = ("encoder.embed_positions", "decoder.embed_positions", "decoder.embed_tokens")


def sinusoids(length: int, width: int) -> Tensor:
    """Whisper's positions, shape (length, width): sines, then cosines."""
    step = math.log(10_000) / (width // 2 - 1)
    angles = torch.arange(length)[:, None] * torch.exp(-step * torch.arange(width // 2))[None]
    return torch.cat([angles.sin(), angles.cos()], 1)


class Table(nn.Module):
    """Rows that are learned one by one."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, width))

    def forward(self) -> Tensor:
        return self.weight


class ScaledSinusoids(nn.Module):
    """Sinusoids of which only the size is learned."""

    waves: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("waves", sinusoids(rows, width), persistent=False)

    def forward(self) -> Tensor:
        return self.scale * self.waves


class MappedSinusoids(nn.Module):
    """Sinusoids through a learned matrix."""

    waves: Tensor

    def __init__(self, rows: int, width: int, size: float) -> None:
        super().__init__()
        self.map = nn.Parameter(torch.eye(width) * size)
        self.register_buffer("waves", sinusoids(rows, width), persistent=False)

    def forward(self) -> Tensor:
        return self.waves @ self.map


class TimedTokens(nn.Module):
    """Learned rows for text, mapped sinusoids for the timestamps behind it."""

    def __init__(self, text: int, stamps: int, width: int) -> None:
        super().__init__()
        self.text = nn.Parameter(torch.randn(text, width) * 0.1)
        self.stamps = MappedSinusoids(stamps, width, 0.25)

    def forward(self) -> Tensor:
        return torch.cat([self.text, self.stamps()])


class Attention(nn.Module):
    """Multi-head attention; the keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, *, is_causal: bool) -> Tensor:
        """Attend to itself; shape (batch, positions, width)."""
        q, k, v = self._parts(x, x)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
        return self.out_proj(mixed.transpose(1, 2).reshape(x.shape))

    def across(self, x: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Attend to the audio; also returns how: (batch, heads, positions, frames)."""
        q, k, v = self._parts(x, audio)
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        return self.out_proj((weights @ v).transpose(1, 2).reshape(x.shape)), weights

    def _parts(self, x: Tensor, of: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (
            self._split(self.q_proj(x)),
            self._split(self.k_proj(of)),
            self._split(self.v_proj(of)),
        )

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], -1, self.heads, x.shape[2] // self.heads).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Attention to the whole window, then two linear layers, each added to what was."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn, self.self_attn_layer_norm = Attention(width, heads), nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x + self.self_attn(self.self_attn_layer_norm(x), is_causal=False))

    def inner(self, x: Tensor) -> Tensor:
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class DecoderLayer(EncoderLayer):
    """Attention to the text so far, then to the audio, then two linear layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.encoder_attn = Attention(width, heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(width)

    def decode(self, x: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's output, and its attention to the audio."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), is_causal=True)
        seen, weights = self.encoder_attn.across(self.encoder_attn_layer_norm(x), audio)
        return self.inner(x + seen), weights


class Encoder(nn.Module):
    """The encoder: from a spectrogram to 50 frames a second."""

    def __init__(self, shape: Shape, *, sinusoidal: bool) -> None:
        super().__init__()
        width, rows = shape.width, shape.audio_positions
        self.conv1 = nn.Conv1d(shape.bands, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        kind = ScaledSinusoids if sinusoidal else Table
        self.embed_positions = kind(rows, width)
        self.layers = nn.ModuleList(
            EncoderLayer(width, shape.heads) for _ in range(shape.encoder_layers)
        )
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, mel: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        """Encode (batch, bands, frames) that begin at these of the 1,500 positions.

        Returns what is heard, and the same before the last layer.
        """
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        at = offset[:, None] + torch.arange(x.shape[1], device=x.device)
        x = x + self.embed_positions()[at]
        for layer in self.layers[:-1]:
            x = layer(x)
        return self.layer_norm(self.layers[-1](x)), x


class Decoder(nn.Module):
    """From the text so far and the audio to the next token; `text` as in `Whisper`."""

    def __init__(self, shape: Shape, text: int | None) -> None:
        super().__init__()
        width, rows = shape.width, shape.text_positions
        if text is None:
            self.embed_tokens: nn.Module = Table(shape.tokens, width)
            self.embed_positions: nn.Module = Table(rows, width)
        else:
            self.embed_tokens = TimedTokens(text, shape.tokens - text, width)
            self.embed_positions = MappedSinusoids(rows, width, 0.1)
        self.layers = nn.ModuleList(
            DecoderLayer(width, shape.heads) for _ in range(shape.decoder_layers)
        )
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits of the next token at every position, and each layer's attention to the audio."""
        table = self.embed_tokens()
        x = F.embedding(tokens, table) + self.embed_positions()[: tokens.shape[1]]
        attention = []
        for layer in self.layers:
            x, weights = layer.decode(x, audio)
            attention.append(weights)
        return self.layer_norm(x) @ table.T, attention


@dataclass(frozen=True)
class Output:
    """What a model makes of a batch; `heard` and `middle` are (batch, frames, width)."""

    logits: Tensor
    attention: list[Tensor]
    heard: Tensor
    middle: Tensor


class Whisper(nn.Module):
    """A model of this shape.

    `text`: how many tokens are no timestamps, in a model with sinusoids; None: all are tables.
    """

    def __init__(self, shape: Shape, text: int | None = None) -> None:
        super().__init__()
        self.shape, self.text = shape, text
        self.encoder = Encoder(shape, sinusoidal=text is not None)
        self.decoder = Decoder(shape, text)

    def forward(self, mel: Tensor, offset: Tensor, tokens: Tensor) -> Output:
        heard, middle = self.encoder(mel, offset)
        logits, attention = self.decoder(tokens, heard)
        return Output(logits, attention, heard, middle)


class FrameHeads(nn.Module):
    """Reads phones and words off the encoder's frames: used in training only."""

    def __init__(self, width: int, phones: int, words: int) -> None:
        super().__init__()
        self.phones, self.words = nn.Linear(width, phones), nn.Linear(width, words)


@torch.no_grad()
def weights_of(model: Whisper) -> dict[str, NDArray[np.float32]]:
    """The model's weights in Hugging Face's layout, sinusoids written out as tables."""
    kept = {n: t for n, t in model.state_dict().items() if not n.startswith(TABLES)}
    tables = {f"{name}.weight": model.get_submodule(name)() for name in TABLES}
    found = {
        name: np.ascontiguousarray(tensor.cpu().numpy(), dtype=np.float32)
        for name, tensor in (kept | tables).items()
    }
    check(model.shape, found)
    return found


def model_of(shape: Shape, weights: Weights) -> Whisper:
    """A model with these weights, all its tables learned row by row."""
    model = Whisper(shape)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model
