"""Whisper models of any shape that have learnt nothing: random weights that the real engine runs.

They say nonsense, but at the true cost, in every language and by every path of the engine.
"""

import json
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any, TypeAlias

import numpy as np
from ctranslate2.specs.whisper_spec import WhisperSpec
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from shared.audio.pcm import SAMPLE_RATE

Spec: TypeAlias = Any
"""A part of a `WhisperSpec`, which has no types."""
FEW_LANGUAGES = ("en", "de", "ja")
PLACES, LONGEST = 1_500, 448
"""Frames that the encoder gives, and tokens that the decoder takes."""
TIMESTAMPS = [f"<|{number * 0.02:.2f}|>" for number in range(1_501)]
FEATURES = {"chunk_length": 30, "hop_length": 160, "n_fft": 400}
STEERING = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
SPREAD = np.float32(0.3)
"""Of the words, against places and languages: smaller, and a text repeats itself less."""
RARE = -200.0
"""Logit of what is no text: left to itself, the model would write languages and times."""
FIXTURE = "test-fixture"


def random_model(  # noqa: PLR0913 - a shape has as many sizes
    folder: Path,
    *,
    multilingual: bool = True,
    languages: tuple[str, ...] = FEW_LANGUAGES,
    width: int = 64,
    heads: int = 1,
    layers: tuple[int, int] = (1, 1),
    bands: int = 80,
    tokens: int = 2_500,
    quantization: str | None = "int8",
    seed: int = 0,
) -> Path:
    """Write a whole model directory, marked as one for tests, and return it.

    `layers` are the encoder's and the decoder's, `tokens` all that the model has: Whisper's base
    is `languages=(all but yue), width=512, heads=8, layers=(6, 6), tokens=51_865`. A text ends when
    there is no room for more, or after `Search.tokens`. Equal arguments make equal models.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = Words(languages, tokens, multilingual=multilingual)
    words.tokenizer().save(str(folder / "tokenizer.json"))
    features = {"feature_size": bands, "sampling_rate": SAMPLE_RATE} | FEATURES
    (folder / "preprocessor_config.json").write_text(json.dumps(features))
    (folder / FIXTURE).write_text("Random weights.\n")
    spec = Weights(width, np.random.default_rng(seed)).spec(heads, layers, bands, tokens)
    is_text = np.arange(tokens) < len(words.text)
    spec.decoder.embeddings.weight[is_text] *= SPREAD
    spec.decoder.projection.bias = np.where(is_text, 0, RARE).astype(np.float32)
    spec.register_vocabulary(words.all)
    spec.config.suppress_ids = [words.number(f"<|{name}|>") for name in STEERING]
    spec.config.suppress_ids_begin = [words.number("<|endoftext|>")]
    spec.config.lang_ids = [words.number(f"<|{code}|>") for code in words.languages]
    spec.config.alignment_heads = [[layers[1] - 1, head] for head in range(heads)]
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))
    return folder


@dataclass(frozen=True)
class Words:
    """The tokens: bytes, words (made-up ones as there is room), and what steers the model.

    An empty token among the words is Whisper's mark of a multilingual model.
    """

    languages: tuple[str, ...]
    count: int
    multilingual: bool = True
    own: tuple[str, ...] = ()

    @property
    def all(self) -> list[str]:
        return [*self.text, *self.special, *TIMESTAMPS]

    @property
    def special(self) -> list[str]:
        names = ("endoftext", "startoftranscript", *self.languages, *STEERING)
        return [f"<|{name}|>" for name in names]

    @property
    def text(self) -> list[str]:
        mark = [""] if self.multilingual else []
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        room = self.count - len(letters) - len(mark) - len(self.special) - len(TIMESTAMPS)
        made_up = ("Ġ" + "".join(word) for word in product(ascii_lowercase, repeat=4))
        own = [f"Ġ{word}" for word in self.own]
        return [*letters, *own, *islice(made_up, room - len(own)), *mark]

    def number(self, token: str) -> int:
        return len(self.text) + self.special.index(token)

    def tokenizer(self) -> Tokenizer:
        """Text becomes bytes; the words are only ever written by the model."""
        numbers = {token: number for number, token in enumerate(self.text)}
        tokenizer = Tokenizer(models.BPE(vocab=numbers, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        added = [AddedToken(token, special=True, normalized=False) for token in self.special]
        tokenizer.add_special_tokens(added)
        return tokenizer


@dataclass(frozen=True)
class Weights:
    """Random weights of a model of this width."""

    width: int
    chance: np.random.Generator

    def spec(self, heads: int, layers: tuple[int, int], bands: int, tokens: int) -> Spec:
        spec = WhisperSpec(layers[0], heads, layers[1], heads)
        for conv, inputs in ((spec.encoder.conv1, bands), (spec.encoder.conv2, self.width)):
            conv.weight = self._drawn(self.width, inputs, 3) / np.float32(np.sqrt(3 * inputs))
            conv.bias = np.zeros(self.width, np.float32)
        spec.decoder.embeddings.weight = self._drawn(tokens, self.width)
        spec.decoder.projection.weight = spec.decoder.embeddings.weight
        for side, places in ((spec.encoder, PLACES), (spec.decoder, LONGEST)):
            side.position_encodings.encodings = self._drawn(places, self.width)
            self._norm(side.layer_norm)
            for layer in side.layer:
                self._layer(layer)
        return spec

    def _layer(self, layer: Spec) -> None:
        attentions = [layer.self_attention]
        if hasattr(layer, "attention"):
            attentions.append(layer.attention)
        for attention in attentions:
            self._norm(attention.layer_norm)
            parts = (3, 1) if attention is layer.self_attention else (1, 2, 1)
            for linear, times in zip(attention.linear, parts, strict=True):
                self._linear(linear, times * self.width, self.width)
        self._norm(layer.ffn.layer_norm)
        self._linear(layer.ffn.linear_0, 4 * self.width, self.width)
        self._linear(layer.ffn.linear_1, self.width, 4 * self.width)

    def _linear(self, linear: Spec, outputs: int, inputs: int) -> None:
        linear.weight = self._drawn(outputs, inputs) / np.float32(np.sqrt(inputs))
        linear.bias = np.zeros(outputs, np.float32)

    def _norm(self, norm: Spec) -> None:
        norm.gamma = np.ones(self.width, np.float32)
        norm.beta = np.zeros(self.width, np.float32)

    def _drawn(self, *shape: int) -> NDArray[np.float32]:
        return self.chance.standard_normal(shape, np.float32)
