"""A start for the encoder in which its heads already look at neighbouring frames.

Attention that starts at random stays global and learns nothing for a quarter of an hour.
"""

import math

import torch
from torch import Tensor

from infra.training.model.network import Attention, Encoder

OFFSETS: tuple[tuple[int | None, ...], ...] = ((-6, -2, 2, 6), (-9, 0, 9, None))
"""Per layer and head, the offset in frames of 20 ms; None: left at random."""
SHARPNESS = (2.6, 6.0)


@torch.no_grad()
def localise(encoder: Encoder) -> None:
    """Reserve channels for positions, and point the heads by them."""
    width, heads = encoder.layer_norm.weight.shape[0], encoder.layers[0].self_attn.heads
    waves = range(0, width // heads, 2)
    reserved = [*waves, *(width // 2 + wave for wave in waves)]
    encoder.conv2.weight[reserved] = 0
    encoder.conv2.bias[reserved] = 0
    encoder.layers[0].self_attn.out_proj.weight[reserved] = 0
    encoder.layers[0].fc2.weight[reserved] = 0
    for layer, offsets, sharpness in zip(encoder.layers, OFFSETS, SHARPNESS, strict=False):
        for head, offset in enumerate(offsets[:heads]):
            if offset is not None:
                _point(layer.self_attn, head, offset, math.sqrt(sharpness))


def _point(attention: Attention, head: int, offset: int, size: float) -> None:
    width = attention.q_proj.weight.shape[0]
    per_head = width // attention.heads
    rows = slice(head * per_head, (head + 1) * per_head)
    query, key = rotation(offset, width, per_head)
    attention.q_proj.weight[rows] = size * query
    attention.q_proj.bias[rows] = 0
    attention.k_proj.weight[rows] = size * key


def rotation(offset: int, width: int, rows: int) -> tuple[Tensor, Tensor]:
    """Query and key weights, (rows, width), that agree best where key = query + offset."""
    query, key = torch.zeros(rows, width), torch.zeros(rows, width)
    step = math.log(10_000) / (width // 2 - 1)
    for even in range(0, rows, 2):
        odd, cosine = even + 1, width // 2 + even
        angle = math.exp(-step * even) * offset
        query[even, even], query[even, cosine] = math.cos(angle), math.sin(angle)
        query[odd, even], query[odd, cosine] = -math.sin(angle), math.cos(angle)
        key[even, even] = key[odd, cosine] = 1
    return query, key
