"""Learning from recordings with transcripts, which tell no times of words."""

import random
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="no torch here: pip install '.[training]'")

from infra.training.data.batches import stacked  # noqa: E402
from infra.training.data.examples import Composer  # noqa: E402
from infra.training.data.placing import FULL, Style  # noqa: E402
from infra.training.data.sources import Source, recorded  # noqa: E402
from infra.training.fit.fitting import CHECKPOINT, Materials, fit  # noqa: E402
from infra.training.fit.train import Plan, Trainer  # noqa: E402
from infra.training.model import checkpoints  # noqa: E402 - only where torch is
from infra.training.speech.vocabulary import FILE, Vocabulary  # noqa: E402
from tests.support.recognizers import NANO, NANO_CALL  # noqa: E402

VOCABULARY = Vocabulary.load(NANO / FILE)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for path in (NANO_CALL, NANO_CALL.with_suffix(".truth.json")):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def source(recordings: Path) -> Source:
    return recorded(recordings, 80)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A checkpoint, its tokenizer beside it."""
    pupil = checkpoints.new(VOCABULARY)
    checkpoints.save(tmp_path / CHECKPOINT, pupil, pupil.state_dict())
    shutil.copy(NANO / FILE, tmp_path)
    return tmp_path / CHECKPOINT


def test_a_few_steps_on_a_recording_lower_its_loss(weights: Path, source: Source) -> None:
    composer = Composer(VOCABULARY, source.sounds, source.texts)
    rng = random.Random(1)  # noqa: S311
    examples = [composer.example(rng, source.pool, Style(full=True)) for _ in range(2)]
    batch = stacked(examples, VOCABULARY, FULL)
    trainer = Trainer(checkpoints.start(weights, VOCABULARY), Plan(60), VOCABULARY.zero)
    first, *_, last = (trainer.step(batch) for _ in range(6))
    assert last.text < first.text
    assert last.total(0) < first.total(0)


def test_losses_that_need_times_are_nothing_without_them(weights: Path, source: Source) -> None:
    composer = Composer(VOCABULARY, source.sounds, source.texts)
    example = composer.example(
        random.Random(1),  # noqa: S311
        source.pool,
        Style(full=True, timestamps=False, utterances=2),
    )
    trainer = Trainer(checkpoints.start(weights, VOCABULARY), Plan(1), VOCABULARY.zero)
    found = trainer.step(stacked([example], VOCABULARY, FULL))
    assert found.words.isfinite()
    assert found.phones.isfinite()
    assert found.attention == 0
    assert found.time == 0


def test_a_training_leaves_what_the_next_one_and_an_export_start_from(
    weights: Path, recordings: Path, tmp_path: Path
) -> None:
    materials = Materials(recordings=recordings, weights=weights)
    fit(tmp_path / "tuned", materials, Plan(2, 1e-5, muon=False), device="cpu", every=2)
    tuned = checkpoints.trained(tmp_path / "tuned" / CHECKPOINT)
    assert tuned.tokenizer.read_bytes() == (NANO / FILE).read_bytes()
    assert tuned.shape == checkpoints.trained(weights).shape


@pytest.mark.parametrize(
    "folders", [{}, {"recordings": Path("a")}, {"speech": Path("a"), "recordings": Path("b")}]
)
def test_a_training_without_its_materials_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="need"):
        Materials(**folders)


def test_the_rate_rises_soon_and_ends_low() -> None:
    plan = Plan(steps=1000, rate=1.0, minutes=10)
    assert plan.rate_at(0, 0.0) < plan.rate_at(49, 0.05)
    assert plan.rate_at(999, 0.999) == 0.005
    assert plan.progress(100, 300) == 0.5
    assert plan.progress(900, 300) == 0.9
