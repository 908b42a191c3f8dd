"""One training from the command line: source and weights in, a folder with a checkpoint out."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import typer

from infra.training.data.batches import Batches
from infra.training.data.examples import Composer
from infra.training.data.sources import Source, recorded, synthesised
from infra.training.fit.losses import Losses
from infra.training.fit.train import Plan, Trainer, exam, train
from infra.training.model import checkpoints
from infra.training.model.export import GENERATION
from infra.training.speech.vocabulary import FILE, Vocabulary

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Materials:
    """What to train on (`speech` or `recordings`), and the weights to start from, if any.

    Raises `ValueError` unless there is exactly one to train on, and a tokenizer in one of them.
    """

    speech: Path | None = None
    recordings: Path | None = None
    weights: Path | None = None

    def __post_init__(self) -> None:
        if (self.speech is None) == (self.recordings is None):
            raise ValueError("training needs either speech or recordings")
        if self.speech is None and self.weights is None:
            raise ValueError("recordings need weights to start from")

    @property
    def tokenizer(self) -> Path:
        """The weights' own, or else that of the speech."""
        if self.weights is not None:
            return checkpoints.tokenizer_of(self.weights)
        return self.speech / FILE if self.speech else Path(FILE)

    def source(self, bands: int) -> Source:
        """The utterances, with so many mel bands."""
        if self.recordings is not None:
            return recorded(self.recordings, bands)
        return synthesised(self.speech or Path(), from_nothing=self.weights is None)


def fit(folder: Path, materials: Materials, plan: Plan, *, device: str, every: int) -> None:
    """Train, and write checkpoint.pt with what an export needs beside it.

    Started by torchrun, each worker draws windows of its own and all share their gradients.
    """
    vocabulary = Vocabulary.load(materials.tokenizer)
    pupil = checkpoints.start(materials.weights, vocabulary)
    source = materials.source(pupil.whisper.shape.bands)
    composer = Composer(vocabulary, source.sounds, source.texts)
    with _together() as (worker, workers):
        trainer = Trainer(pupil, plan, vocabulary.zero, workers=workers, device=device)
        batches = Batches(composer, source.pool, worker=worker, full_share=source.full_share)
        if worker == 0:
            _prepare(folder, materials.tokenizer)
        report = Report(folder, trainer, composer, source) if worker == 0 else _nothing
        train(trainer, batches.next, report, every=every)


class Report:
    """Prints how far the training is, and keeps what there is of it."""

    def __init__(self, folder: Path, trainer: Trainer, composer: Composer, source: Source) -> None:
        self._path, self._trainer = folder / CHECKPOINT, trainer
        self._exams = {
            name: exam(composer, pool, full=source.full_only) for name, pool in source.exams.items()
        }

    def __call__(self, found: Losses) -> None:
        line = [f"{self._trainer.progress:4.0%} text {found.text.item():.2f}"]
        for name, batches in self._exams.items():
            judged = self._trainer.judge(batches)
            line.append(" ".join([name, *(f"{key} {loss:.3f}" for key, loss in judged.items())]))
        typer.echo(" | ".join(line))
        checkpoints.save(self._path, self._trainer.pupil, self._trainer.average)


def _nothing(_: Losses) -> None:
    """Other workers report nothing."""


def _prepare(folder: Path, tokenizer: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in (tokenizer, tokenizer.with_name(GENERATION)):
        if path.exists():
            shutil.copy(path, folder / path.name)


@contextmanager
def _together() -> Iterator[tuple[int, int]]:
    """This worker's number, and how many there are."""
    worker, workers = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if workers == 1:
        yield worker, workers
        return
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    try:
        yield worker, workers
    finally:
        dist.destroy_process_group()
