"""Writes weights as a folder that CTranslate2 and faster-whisper load, without their converter.

See `ctranslate2.specs.WhisperSpec`. Exact GELU, one table for embeddings and projection.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infra.training.model.layout import Shape, Weights
from infra.training.speech.vocabulary import FILE, Vocabulary

Spec: TypeAlias = Any
"""A part of a `WhisperSpec`, which has no types."""
GENERATION = "generation_config.json"
FIXTURE = "test-fixture"
MARK = (
    "This model is for tests: it knows a closed vocabulary, spoken by synthetic voices. "
    "RECOGNIZER=auto\nnever takes a model with a file of this name.\n"
)
NEVER = ("startoftranscript", "translate", "transcribe", "startoflm", "startofprev", "nospeech")


@dataclass(frozen=True)
class Steering:
    """Tokens that are never written, those never written first, and the alignment heads.

    A head is a decoder layer and its number there; its attention tells when words are said.
    """

    suppressed: Sequence[int]
    suppressed_first: Sequence[int]
    alignment_heads: Sequence[Sequence[int]]

    @classmethod
    def of_nano(cls, vocabulary: Vocabulary, shape: Shape) -> "Steering":
        """As the training from nothing makes it: the first heads of the last layer are guided."""
        last = shape.decoder_layers - 1
        return cls(
            sorted(vocabulary.number(f"<|{name}|>") for name in NEVER),
            [vocabulary.number("Ġ"), vocabulary.end],
            [[last, 0], [last, 1]],
        )

    @classmethod
    def read(cls, path: Path) -> "Steering":
        """As a generation_config.json tells it."""
        facts = json.loads(path.read_bytes())
        return cls(
            facts["suppress_tokens"], facts["begin_suppress_tokens"], facts["alignment_heads"]
        )


@dataclass(frozen=True)
class Trained:
    """A model: its weights in Hugging Face's layout, and its tokenizer.json."""

    shape: Shape
    weights: Weights
    tokenizer: Path

    def steering(self, vocabulary: Vocabulary) -> Steering:
        """A generation_config.json beside the tokenizer, or else as whisper-nano needs it."""
        path = self.tokenizer.with_name(GENERATION)
        return Steering.read(path) if path.exists() else Steering.of_nano(vocabulary, self.shape)


def export(
    trained: Trained, folder: Path, *, quantization: str | None = "int8", is_fixture: bool = True
) -> None:
    """Write model.bin and what belongs to it; a test fixture is marked as one."""
    vocabulary = Vocabulary.load(trained.tokenizer)
    spec = specification(trained.shape, trained.weights)
    _steer(spec, vocabulary, trained.steering(vocabulary))
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    shutil.copy(trained.tokenizer, folder / FILE)
    features = json.dumps(features_of(trained.shape))
    (folder / "preprocessor_config.json").write_text(features, encoding="utf-8")
    if is_fixture:
        (folder / FIXTURE).write_text(MARK, encoding="utf-8")


def specification(shape: Shape, weights: Weights) -> Spec:
    """The weights as CTranslate2 has them."""
    from ctranslate2.specs.whisper_spec import WhisperSpec  # noqa: PLC0415 - a second

    spec = WhisperSpec(shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads)
    for conv in ("conv1", "conv2"):
        side = getattr(spec.encoder, conv)
        side.weight, side.bias = (weights[f"encoder.{conv}.{n}"] for n in ("weight", "bias"))
    tokens = weights["decoder.embed_tokens.weight"]
    spec.decoder.embeddings.weight = spec.decoder.projection.weight = tokens
    for name, side in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        side.position_encodings.encodings = weights[f"{name}.embed_positions.weight"]
        _set_norm(side.layer_norm, weights, f"{name}.layer_norm")
        for number, layer in enumerate(side.layer):
            _set_layer(layer, weights, f"{name}.layers.{number}")
    return spec


def features_of(shape: Shape) -> dict[str, int]:
    """The preprocessor_config.json: how the spectrogram is made."""
    return {
        "feature_size": shape.bands,
        "sampling_rate": 16000,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
    }


def _set_layer(spec: Spec, weights: Weights, layer: str) -> None:
    own = f"{layer}.self_attn"
    _set_norm(spec.self_attention.layer_norm, weights, f"{own}_layer_norm")
    _set_linear(spec.self_attention.linear[0], weights, own, ("q_proj", "k_proj", "v_proj"))
    _set_linear(spec.self_attention.linear[1], weights, own, ("out_proj",))
    across = f"{layer}.encoder_attn"
    if f"{across}.q_proj.weight" in weights:
        _set_norm(spec.attention.layer_norm, weights, f"{across}_layer_norm")
        parts = (("q_proj",), ("k_proj", "v_proj"), ("out_proj",))
        for linear, names in zip(spec.attention.linear, parts, strict=True):
            _set_linear(linear, weights, across, names)
    _set_norm(spec.ffn.layer_norm, weights, f"{layer}.final_layer_norm")
    _set_linear(spec.ffn.linear_0, weights, layer, ("fc1",))
    _set_linear(spec.ffn.linear_1, weights, layer, ("fc2",))


def _set_linear(spec: Spec, weights: Weights, within: str, parts: Sequence[str]) -> None:
    """Several layers become one, their rows stacked."""
    names = [f"{within}.{part}" for part in parts]
    spec.weight = np.concatenate([weights[f"{name}.weight"] for name in names])
    spec.bias = np.concatenate([_bias(weights, name) for name in names])


def _bias(weights: Weights, name: str) -> NDArray[np.float32]:
    """The keys have none, which is the same as zeros."""
    return weights.get(f"{name}.bias", np.zeros(len(weights[f"{name}.weight"]), np.float32))


def _set_norm(spec: Spec, weights: Weights, name: str) -> None:
    spec.gamma, spec.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def _steer(spec: Spec, vocabulary: Vocabulary, steering: Steering) -> None:
    spec.register_vocabulary(vocabulary.tokens())
    spec.config.suppress_ids = list(steering.suppressed)
    spec.config.suppress_ids_begin = list(steering.suppressed_first)
    spec.config.lang_ids = vocabulary.languages
    spec.config.alignment_heads = [list(head) for head in steering.alignment_heads]
