"""Sources of utterances: the synthesisers, or recordings of people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.training.data.batches import FULL_SHARE, full_late
from infra.training.data.examples import Sounds
from infra.training.data.recordings import read_recordings
from infra.training.data.shards import read_shards
from infra.training.data.utterances import Pool, Utterance

SHARES = {"flite": 0.4, "salad": 0.14, "espeak": 0.46}
HELD_OUT = ("dev_espeak", "dev_flite")
EVERY = 10
"""Of recordings, one utterance in ten is kept for judging."""


@dataclass(frozen=True)
class Source:
    """Utterances to train on, and held-out ones (`exams`); `full_share` is that of `Batches`."""

    pool: Pool
    exams: Mapping[str, Pool]
    sounds: Sounds
    texts: frozenset[str]
    full_share: Callable[[float], float]
    full_only: bool


def synthesised(folder: Path, *, from_nothing: bool) -> Source:
    """Return the source that `synthesise` wrote. Raises `ValueError` if there is nothing."""
    groups = {name: read_shards(folder, name) for name in SHARES}
    everything = [one for group in groups.values() for one in group]
    return Source(
        Pool([(SHARES[name], group) for name, group in groups.items()]),
        {name: Pool([(1.0, read_shards(folder, name))]) for name in HELD_OUT},
        Sounds.of(everything),
        _texts(everything),
        full_late if from_nothing else lambda _: FULL_SHARE,
        full_only=False,
    )


def recorded(folder: Path, bands: int) -> Source:
    """Recordings with transcripts, in whole windows only. Raises `ValueError` if too few."""
    everything = list(read_recordings(folder, bands))
    kept = [one for number, one in enumerate(everything) if number % EVERY]
    return Source(
        Pool([(1.0, kept)]),
        {"recordings": Pool([(1.0, everything[::EVERY])])},
        Sounds.of(()),
        _texts(everything),
        lambda _: 1.0,
        full_only=True,
    )


def _texts(utterances: list[Utterance]) -> frozenset[str]:
    return frozenset(one.text for one in utterances)
