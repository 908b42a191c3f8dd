import json
import shutil
from dataclasses import replace
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
from numpy.typing import NDArray

from functions.transcribe.whisper.models import find_model
from infra.training.model.export import GENERATION, Trained, export
from infra.training.model.layout import Shape, check, config_of, sizes
from infra.training.speech.vocabulary import Vocabulary
from tests.support.recognizers import NANO, NOWHERE

VOCABULARY = Vocabulary.load(NANO / "tokenizer.json")
SHAPE = Shape(VOCABULARY.size, width=32, encoder_layers=1)


def random_weights(shape: Shape) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    return {
        name: rng.normal(scale=0.1, size=size).astype(np.float32)
        for name, size in sizes(shape).items()
    }


@pytest.fixture
def untrained(tmp_path: Path) -> Trained:
    tokenizer = shutil.copy(NANO / "tokenizer.json", tmp_path)
    return Trained(SHAPE, random_weights(SHAPE), Path(tokenizer))


def test_names_are_those_of_hugging_face() -> None:
    names = sizes(SHAPE)
    assert names["encoder.layers.0.self_attn.q_proj.weight"] == (32, 32)
    assert names["decoder.layers.1.encoder_attn_layer_norm.bias"] == (32,)
    assert names["decoder.layers.0.fc1.weight"] == (128, 32)
    assert "decoder.layers.0.self_attn.k_proj.bias" not in names
    assert "encoder.layers.1.fc1.weight" not in names


def test_large_v3_has_as_many_weights_as_it_has() -> None:
    large = Shape(51_866, 1280, heads=20, encoder_layers=32, decoder_layers=32, bands=128)
    count = sum(int(np.prod(size)) for size in sizes(large).values())
    assert count == 1_543_490_560


def test_a_config_tells_the_shape_it_was_made_of() -> None:
    assert Shape.of_config(config_of(SHAPE)) == SHAPE


@pytest.mark.parametrize("other", [{"decoder_attention_heads": 8}, {"encoder_ffn_dim": 99}])
def test_a_shape_that_whisper_has_not_is_refused(other: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not as Whisper has them"):
        Shape.of_config(config_of(SHAPE) | other)


def test_a_missing_a_strange_and_a_misshapen_array_are_named() -> None:
    weights = random_weights(SHAPE)
    check(SHAPE, weights)
    with pytest.raises(ValueError, match=r"decoder\.layer_norm\.bias: \(32,\) expected, None"):
        check(SHAPE, {n: a for n, a in weights.items() if n != "decoder.layer_norm.bias"})
    with pytest.raises(ValueError, match="extra: None expected"):
        check(SHAPE, weights | {"extra": np.zeros(1, np.float32)})
    with pytest.raises(ValueError, match=r"\(448, 64\) expected, \(448, 32\) found"):
        check(replace(SHAPE, width=64), weights)


@pytest.mark.parametrize("quantization", ["int8", None])
def test_an_exported_model_loads_and_runs(
    untrained: Trained, tmp_path: Path, quantization: str | None
) -> None:
    export(untrained, tmp_path / "out", quantization=quantization)
    model = ctranslate2.models.Whisper(str(tmp_path / "out"))
    assert (model.n_mels, model.is_multilingual) == (80, False)
    window = ctranslate2.StorageView.from_array(np.zeros((1, 80, 3000), np.float32))
    (result,) = model.generate(window, [[VOCABULARY.head[0]]], max_length=8)
    assert len(result.sequences_ids[0]) <= 8


def test_an_exported_model_is_a_fixture_unless_said_otherwise(
    untrained: Trained, tmp_path: Path
) -> None:
    export(untrained, tmp_path / "test")
    assert find_model(str(tmp_path / "test"), NOWHERE).is_fixture
    export(untrained, tmp_path / "real", is_fixture=False)
    assert not find_model(str(tmp_path / "real"), NOWHERE).is_fixture


def test_the_files_beside_the_weights_are_those_of_the_test_model(
    untrained: Trained, tmp_path: Path
) -> None:
    export(untrained, tmp_path / "out")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written | {"README.md"} == {path.name for path in NANO.iterdir()}
    for name in ("config.json", "vocabulary.json", "tokenizer.json", "preprocessor_config.json"):
        ours, theirs = ((place / name).read_bytes() for place in (tmp_path / "out", NANO))
        assert json.loads(ours) == json.loads(theirs), name


def test_a_generation_config_steers_a_model_from_elsewhere(
    untrained: Trained, tmp_path: Path
) -> None:
    facts = {"suppress_tokens": [1, 2], "begin_suppress_tokens": [3], "alignment_heads": [[0, 2]]}
    untrained.tokenizer.with_name(GENERATION).write_text(json.dumps(facts))
    export(untrained, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_bytes())
    assert config["suppress_ids"] == [1, 2]
    assert config["suppress_ids_begin"] == [3]
    assert config["alignment_heads"] == [[0, 2]]
