"""Speaks the grammar and writes what was said as shards, and the tokenizer beside them."""

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from infra.training.data.mel import log_mel
from infra.training.data.shards import write_shard
from infra.training.data.utterances import Utterance
from infra.training.speech import grammar, vocabulary
from infra.training.speech.spoken import Spoken
from infra.training.speech.voices import HELD_OUT, TRAINED, random_espeak, random_flite

BANDS = 80
SHARD = 500
FEWEST = 20
SHORTEST = 0.1


@dataclass(frozen=True)
class Group:
    """Utterances of one kind. Held-out ones are held out by text, and espeak's by voice too."""

    name: str
    synthesiser: Literal["espeak", "flite"]
    salad_share: float
    count: int
    held_out: bool = False


PLAN = (
    Group("espeak", "espeak", 0.12, 24_000),
    Group("salad", "espeak", 1.0, 5_000),
    Group("flite", "flite", 0.3, 9_000),
    Group("dev_espeak", "espeak", 0.2, 240, held_out=True),
    Group("dev_flite", "flite", 0.2, 120, held_out=True),
)


def synthesise(folder: Path, *, scale: float, workers: int) -> Iterator[str]:
    """Write tokenizer.json and the shards, in `workers` processes; yields each shard's name.

    `scale` is the share of the training sentences to make. What is said depends on the shard's
    name only, so two runs say the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary.build(folder / vocabulary.FILE)
    fresh = get_context("spawn")  # a fork of a process with threads may never return
    with ProcessPoolExecutor(workers, fresh) as processes:
        yield from processes.map(_write, _shards(folder, scale))


def spoken(rng: random.Random, group: Group) -> Iterator[Spoken]:
    """What a group's voices say, without end."""
    while True:
        text = grammar.draw(rng, group.salad_share, held_out=group.held_out)
        said = _say(rng, group, text)
        if said and said.seconds > SHORTEST:
            yield said


def _say(rng: random.Random, group: Group, text: str) -> Spoken | None:
    if group.synthesiser == "flite":
        return random_flite(rng, text)
    return random_espeak(rng, text, HELD_OUT if group.held_out else TRAINED)


def _shards(folder: Path, scale: float) -> Iterator[tuple[Path, Group, int]]:
    for group in PLAN:
        wanted = group.count if group.held_out else max(FEWEST, int(group.count * scale))
        for number, at in enumerate(range(0, wanted, SHARD)):
            yield folder / f"{group.name}_{number:03d}", group, min(SHARD, wanted - at)


def _write(shard: tuple[Path, Group, int]) -> str:
    path, group, count = shard
    said = islice(spoken(random.Random(path.name), group), count)
    write_shard(path, (Utterance(s.text, log_mel(s.audio, BANDS), s.words, s.phones) for s in said))
    return path.name
