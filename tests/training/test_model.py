"""whisper-nano's network, its losses and its weights' way to other programs."""

import shutil
from pathlib import Path
from typing import TypeAlias

import ctranslate2
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="no torch here: pip install '.[training]'")

from infra.training.fit.muon import orthogonal  # noqa: E402
from infra.training.fit.train import Pupil  # noqa: E402
from infra.training.model import checkpoints, layout  # noqa: E402
from infra.training.model.export import export  # noqa: E402
from infra.training.model.locality import OFFSETS, rotation  # noqa: E402
from infra.training.model.network import (  # noqa: E402
    Whisper,
    model_of,
    sinusoids,
    weights_of,
)
from infra.training.speech.vocabulary import FILE, Vocabulary  # noqa: E402
from tests.support.recognizers import NANO  # noqa: E402

VOCABULARY = Vocabulary.load(NANO / FILE)
WINDOW = 3000
Heard: TypeAlias = tuple[NDArray[np.float32], list[int], NDArray[np.float32]]
"""A window, a prompt, and the logits after each token of it."""


@pytest.fixture(scope="module")
def pupil() -> Pupil:
    return checkpoints.new(VOCABULARY)


@pytest.fixture(scope="module")
def heard(pupil: Pupil) -> Heard:
    mel = np.random.default_rng(1).normal(size=(1, 80, WINDOW)).astype(np.float32)
    prompt = [*VOCABULARY.head, VOCABULARY.no_timestamps]
    with torch.no_grad():
        whisper = pupil.whisper.eval()
        output = whisper(torch.from_numpy(mel), torch.tensor([0]), torch.tensor([prompt]))
    return mel, prompt, output.logits[0].numpy()


def test_a_model_from_nothing_is_always_the_same(pupil: Pupil) -> None:
    again = checkpoints.new(VOCABULARY).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in pupil.state_dict().items())


def test_a_model_comes_back_from_hugging_faces_layout_with_equal_logits(
    pupil: Pupil, heard: Heard, tmp_path: Path
) -> None:
    layout.write_folder(tmp_path, pupil.whisper.shape, weights_of(pupil.whisper))
    shutil.copy(NANO / FILE, tmp_path)
    mel, prompt, logits = heard
    same = checkpoints.start(tmp_path, VOCABULARY).whisper.eval()
    with torch.no_grad():
        again = same(torch.from_numpy(mel), torch.tensor([0]), torch.tensor([prompt])).logits
    np.testing.assert_allclose(again[0].numpy(), logits, atol=1e-5)
    assert checkpoints.trained(tmp_path).tokenizer == tmp_path / FILE


def test_a_model_comes_back_from_a_checkpoint(pupil: Pupil, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoints.save(path, pupil, pupil.state_dict())
    again = checkpoints.start(path, VOCABULARY)
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, pupil.state_dict()[name])


def test_weights_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    other = layout.Shape(VOCABULARY.size + 1, width=32)
    layout.write_folder(tmp_path, other, weights_of(model_of_zeros(other)))
    with pytest.raises(ValueError, match="tokens"):
        checkpoints.start(tmp_path, VOCABULARY)


def model_of_zeros(shape: layout.Shape) -> Whisper:
    sizes = layout.sizes(shape).items()
    return model_of(shape, {name: np.zeros(size, np.float32) for name, size in sizes})


def test_ctranslate2_computes_what_torch_computes(
    pupil: Pupil, heard: Heard, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoints.save(checkpoint, pupil, pupil.state_dict())
    shutil.copy(NANO / FILE, tmp_path)
    export(checkpoints.trained(checkpoint), tmp_path / "out", quantization=None)
    mel, prompt, logits = heard
    model = ctranslate2.models.Whisper(str(tmp_path / "out"))
    window = ctranslate2.StorageView.from_array(mel)
    (result,) = model.generate(
        window,
        [prompt],
        beam_size=1,
        max_length=len(prompt) + 1,
        suppress_tokens=[],
        suppress_blank=False,
        return_scores=True,
    )
    chances = torch.from_numpy(logits[-1]).log_softmax(-1)
    assert result.sequences_ids[0] == [chances.argmax().item()]
    assert result.scores[0] == pytest.approx(chances.max().item(), abs=1e-4)


@pytest.mark.parametrize("offset", [o for layer in OFFSETS for o in layer if o is not None])
def test_a_head_looks_at_its_neighbour_from_the_start(offset: int) -> None:
    query, key = rotation(offset, 128, 32)
    positions = sinusoids(200, 128)
    agreement = (positions @ query.T) @ (positions @ key.T).T
    assert agreement[100].argmax().item() == 100 + offset


def test_an_update_is_nearly_orthogonal_whatever_its_shape() -> None:
    torch.manual_seed(1)
    for shape in ((3, 64, 64), (2, 256, 64), (2, 64, 256)):
        sizes = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert sizes.max() < 1.4
        assert sizes.median() > 0.6
