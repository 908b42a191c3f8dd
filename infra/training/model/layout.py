"""A Whisper model's shape, and how its weights are named in Hugging Face's layout.

A folder in that layout holds config.json, model.safetensors and tokenizer.json; see
`WhisperConfig` and `WhisperForConditionalGeneration` of transformers.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Weights: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Arrays by their names in the layout, without the prefix `model.`."""
CONFIG, WEIGHTS = "config.json", "model.safetensors"
PREFIX = "model."
TIED = "proj_out.weight"
"""The projection to tokens, always equal to the tokens' embeddings."""
KEYS = {
    "width": "d_model",
    "heads": "encoder_attention_heads",
    "encoder_layers": "encoder_layers",
    "decoder_layers": "decoder_layers",
    "bands": "num_mel_bins",
    "tokens": "vocab_size",
    "audio_positions": "max_source_positions",
    "text_positions": "max_target_positions",
}


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; the defaults are whisper-nano's but for the number of tokens."""

    tokens: int
    width: int = 128
    heads: int = 4
    encoder_layers: int = 2
    decoder_layers: int = 2
    bands: int = 80
    audio_positions: int = 1500
    text_positions: int = 448

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> "Shape":
        """As a config.json tells it. Raises `ValueError` for a shape that is not Whisper's."""
        shape = cls(**{ours: config[theirs] for ours, theirs in KEYS.items()})
        if _config(shape) != {key: config[key] for key in _config(shape)}:
            raise ValueError("the heads or inner layers are not as Whisper has them")
        return shape


def _config(shape: Shape) -> dict[str, int]:
    told = {KEYS[name]: size for name, size in asdict(shape).items()}
    inner = {f"{side}_ffn_dim": 4 * shape.width for side in ("encoder", "decoder")}
    return told | inner | {"decoder_attention_heads": shape.heads}


def config_of(shape: Shape) -> dict[str, Any]:
    """The config.json of a model of this shape."""
    names = {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"}
    facts = {"activation_function": "gelu", "tie_word_embeddings": True}
    return names | _config(shape) | facts


def sizes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The name of every array in the layout, and its shape."""
    width = shape.width
    return {
        "encoder.conv1.weight": (width, shape.bands, 3),
        "encoder.conv1.bias": (width,),
        "encoder.conv2.weight": (width, width, 3),
        "encoder.conv2.bias": (width,),
        "encoder.embed_positions.weight": (shape.audio_positions, width),
        "decoder.embed_tokens.weight": (shape.tokens, width),
        "decoder.embed_positions.weight": (shape.text_positions, width),
        **dict(_layers("encoder", shape.encoder_layers, ("self_attn",), width)),
        **dict(_layers("decoder", shape.decoder_layers, ("self_attn", "encoder_attn"), width)),
    }


def _layers(
    side: str, count: int, attentions: tuple[str, ...], width: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for number in range(count):
        layer = f"{side}.layers.{number}"
        for attention in attentions:
            yield from _norm(f"{layer}.{attention}_layer_norm", width)
            for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                yield f"{layer}.{attention}.{part}.weight", (width, width)
                if part != "k_proj":  # a bias of the keys would change nothing
                    yield f"{layer}.{attention}.{part}.bias", (width,)
        yield from _norm(f"{layer}.final_layer_norm", width)
        for part, (rows, columns) in {"fc1": (4, 1), "fc2": (1, 4)}.items():
            yield f"{layer}.{part}.weight", (rows * width, columns * width)
            yield f"{layer}.{part}.bias", (rows * width,)
    yield from _norm(f"{side}.layer_norm", width)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def write_folder(folder: Path, shape: Shape, weights: Weights) -> None:
    """Write config.json and model.safetensors."""
    from safetensors.numpy import save_file  # noqa: PLC0415 - only the training extra has it

    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config_of(shape), indent=2), encoding="utf-8")
    save_file({f"{PREFIX}{name}": array for name, array in weights.items()}, folder / WEIGHTS)


def read_folder(folder: Path) -> tuple[Shape, dict[str, NDArray[np.float32]]]:
    """Read them, whole and in single precision. Raises `ValueError` for any other layout."""
    from safetensors.numpy import load_file  # noqa: PLC0415 - only the training extra has it

    shape = Shape.of_config(json.loads((folder / CONFIG).read_bytes()))
    stored = load_file(folder / WEIGHTS)
    weights = {
        name.removeprefix(PREFIX): array.astype(np.float32)
        for name, array in stored.items()
        if name != TIED
    }
    check(shape, weights)
    return shape, weights


def check(shape: Shape, weights: Weights) -> None:
    """Raise `ValueError` unless these are exactly the arrays of a model of this shape."""
    expected = sizes(shape)
    for name in sorted(expected.keys() | weights.keys()):
        found = weights[name].shape if name in weights else None
        if found != expected.get(name):
            raise ValueError(f"{name}: {expected.get(name)} expected, {found} found")
