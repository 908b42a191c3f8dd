"""What training reads, whoever made it: an utterance's spectrogram, text and known times."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Mel: TypeAlias = NDArray[np.floating[Any]]
"""log10 of the mel power, shape (frames, bands), not clamped."""
FRAMES = 100
"""Frames of a spectrogram a second."""


class Word(NamedTuple):
    """A word with its punctuation; seconds from the utterance's start."""

    text: str
    start: float
    end: float


class Phone(NamedTuple):
    """A phone in espeak-ng's letters (`_` is a pause), from its start to the next one's."""

    name: str
    start: float


@dataclass(frozen=True)
class Utterance:
    """Speech without a long pause, cut close. Unknown times are empty tuples."""

    text: str
    mel: Mel
    words: tuple[Word, ...] = ()
    phones: tuple[Phone, ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.mel) / FRAMES


class Pool:
    """Groups of utterances, each with its share of the draws. At least one is not empty."""

    def __init__(self, groups: Sequence[tuple[float, Sequence[Utterance]]]) -> None:
        self._groups = [group for _, group in groups if group]
        self._shares = [share for share, group in groups if group]
        if not self._groups:
            raise ValueError("there is no utterance to draw")

    @property
    def bands(self) -> int:
        """Mel bands of its utterances, which all have as many."""
        return int(self._groups[0][0].mel.shape[1])

    def draw(self, rng: random.Random) -> Utterance:
        return rng.choice(rng.choices(self._groups, self._shares)[0])
