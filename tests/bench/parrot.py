"""Whisper models of true shape that say the same whatever they hear, to measure speed with.

Random weights cost as much to compute as learnt ones, but write what no product would believe.
Here one thing is not random: the decoder's position table holds, for each position, the word to be
written there and where in the window it lies, so loudly that nothing else counts. So a model
writes exactly so many tokens per window, sure of itself and evenly spread in time, and runs with
every setting and every safeguard as it is in production.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from ctranslate2.specs import WhisperSpec
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

Table: TypeAlias = NDArray[np.float32]
Layer: TypeAlias = Any
"""A part of the engine's specification, which has no types."""
TEXT = 50_257
"""Text tokens, the last of them the empty one that tells a multilingual model."""
TIMES = 1_501
PLACES = 1_500
LONGEST = 448
HEAD = 64
PROMPT = 4
"""Tokens before the text: start, language, task, no times."""
SPREAD = 0.01
"""Standard deviation of what is random."""
WORD, PLACE = 100.0, 50.0
"""How loudly a position says which word is due, and where it lies."""
TASKS = "translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"


@dataclass(frozen=True)
class Shape:
    """Width, layers of encoder and decoder, mel bands and languages of a Whisper model."""

    width: int
    encoder: int
    decoder: int
    bands: int = 80
    languages: int = 99

    @property
    def heads(self) -> int:
        return self.width // HEAD


TINY = Shape(384, 4, 4)
BASE = Shape(512, 6, 6)
TURBO = Shape(1_280, 32, 4, bands=128, languages=100)
LARGE = Shape(1_280, 32, 32, bands=128, languages=100)


def parrot(folder: Path, shape: Shape, tokens: int, quantization: str = "int8") -> Path:
    """Write a model that says as many words as `tokens` in every window; returns the folder."""
    vocabulary = list(_vocabulary(shape.languages))
    spec = _spec(shape, len(vocabulary), tokens)
    spec.register_vocabulary(vocabulary)
    first = vocabulary.index("<|startoftranscript|>") + 1
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = list(range(first, first + shape.languages))
    spec.config.alignment_heads = [[shape.decoder - 1, head] for head in range(shape.heads)]
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    _tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    features = {"feature_size": shape.bands, "sampling_rate": 16_000, "hop_length": 160}
    features |= {"chunk_length": 30, "n_fft": 400}
    (folder / "preprocessor_config.json").write_text(json.dumps(features))
    (folder / "test-fixture").touch()
    return folder


def _vocabulary(languages: int) -> Iterator[str]:
    """Bytes, made-up words, the empty token, what steers the model, and times."""
    from faster_whisper.tokenizer import _LANGUAGE_CODES  # noqa: PLC0415

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    yield from letters
    yield from _words(TEXT - len(letters) - 1)
    yield ""
    yield "<|endoftext|>"
    yield "<|startoftranscript|>"
    yield from (f"<|{code}|>" for code in _LANGUAGE_CODES[:languages])
    yield from (f"<|{task}|>" for task in TASKS)
    yield from (f"<|{place / 50:.2f}|>" for place in range(TIMES))


def _words(count: int) -> list[str]:
    """So many different words, each with the space before it, as byte-level BPE writes it."""
    rng = np.random.default_rng(0)
    letters = rng.integers(ord("a"), ord("z") + 1, (2 * count, 6), np.uint8)
    return [f"Ġ{word.tobytes().decode()}" for word in np.unique(letters, axis=0)[:count]]


def _tokenizer(vocabulary: Sequence[str]) -> Tokenizer:
    known = {token: number for number, token in enumerate(vocabulary) if number < TEXT}
    tokenizer = Tokenizer(models.BPE(known, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(vocabulary[TEXT:-TIMES]))
    return tokenizer


def _spec(shape: Shape, size: int, tokens: int) -> WhisperSpec:
    random = _Random()
    spec = WhisperSpec(shape.encoder, shape.heads, shape.decoder, shape.heads)
    width = shape.width
    random.fill(spec.encoder.conv1, (width, shape.bands, 3))
    random.fill(spec.encoder.conv2, (width, width, 3))
    places = _placed(np.arange(PLACES) / PLACES, width)
    spec.encoder.position_encodings.encodings = places
    _plain(spec.encoder.layer_norm, width)
    _plain(spec.decoder.layer_norm, width)
    for layer in spec.encoder.layer:
        _fill_layer(random, layer, width)
    for layer in spec.decoder.layer:
        _fill_layer(random, layer, width)
        _fill_attention(random, layer.attention, (width, 2 * width, width), width)
    _look_at_the_place(spec.decoder.layer[-1].attention, shape)
    words = random.unit_rows(size, width)
    spec.decoder.embeddings.weight = spec.decoder.projection.weight = words
    spec.decoder.position_encodings.encodings = _script(words, tokens)
    return spec


class _Random:
    """Random weights, always the same."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(1)

    def fill(self, layer: Layer, shape: tuple[int, ...]) -> None:
        layer.weight = self._rng.standard_normal(shape, np.float32) * np.float32(SPREAD)
        layer.bias = np.zeros(shape[0], np.float32)

    def unit_rows(self, rows: int, width: int) -> Table:
        """Rows of length 1, with nothing where a place is written."""
        table = self._rng.standard_normal((rows, width), np.float32)
        table[:, :HEAD] = 0
        unit: Table = table / np.linalg.norm(table, axis=1, keepdims=True)
        return unit


def _fill_layer(random: _Random, layer: Layer, width: int) -> None:
    _fill_attention(random, layer.self_attention, (3 * width, width), width)
    random.fill(layer.ffn.linear_0, (4 * width, width))
    random.fill(layer.ffn.linear_1, (width, 4 * width))
    _plain(layer.ffn.layer_norm, width)


def _fill_attention(
    random: _Random,
    attention: Layer,
    rows: Sequence[int],
    width: int,
) -> None:
    for linear, count in zip(attention.linear, rows, strict=True):
        random.fill(linear, (count, width))
    _plain(attention.layer_norm, width)


def _plain(norm: Layer, width: int) -> None:
    norm.gamma, norm.beta = np.ones(width, np.float32), np.zeros(width, np.float32)


def _look_at_the_place(attention: Layer, shape: Shape) -> None:
    """Let queries and keys of all heads be the place, which queries and keys have in common."""
    for head in range(shape.heads):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        for linear in attention.linear[:2]:
            linear.weight[rows] = np.eye(HEAD, shape.width, dtype=np.float32)


def _placed(at: NDArray[np.float64], width: int) -> Table:
    """Rows that say where in the window something lies, from 0 to 1: near places are alike."""
    angles = np.pi * at[:, None] * np.arange(1, HEAD // 2 + 1)
    places = np.concatenate((np.cos(angles), np.sin(angles)), axis=1) / np.sqrt(HEAD // 2)
    return np.pad(PLACE * places, ((0, 0), (0, width - HEAD))).astype(np.float32)


def _script(words: Table, tokens: int) -> Table:
    """For each position of the decoder the word that is due, and its place; then the end."""
    due = np.full(LONGEST, TEXT)
    due[PROMPT - 1 : PROMPT - 1 + tokens] = 1_000 + 97 * np.arange(tokens)
    at = (np.arange(LONGEST) - PROMPT + 1.5).clip(0, tokens) / tokens
    script: Table = _placed(at, words.shape[1]) + np.float32(WORD) * words[due]
    return script
