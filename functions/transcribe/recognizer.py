"""The port to a speech recogniser."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from events.documents import Engine, Language, Request, Segment

SAMPLE_RATE = 16_000
Samples: TypeAlias = NDArray[np.int16]
"""Mono samples at 16 kHz, shape (n,)."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What is said in one more piece of a channel: an utterance, or a window of several.

    `language` is the channel's, if it is known by now. Nothing need be said in a piece.
    """

    segments: tuple[Segment, ...]
    language: Language | None = None


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """What an earlier try found out: so many pieces from the beginning, and the language."""

    pieces: int = 0
    language: Language | None = None


FROM_START = ResumePoint()


class Recognizer(Protocol):
    """Turns one channel's samples into segments.

    `recognize` takes blocks of samples in order, of any length, and yields piece by piece, in
    order of time, what is said in it, each as soon as it is known; times are seconds from the
    first sample. `request` carries the caller's hints. Equal samples make equal pieces, so those
    `known` from an earlier try are not recognised again, and not yielded. It raises
    `errors.Transient` if the engine died, `errors.Unavailable` if it is busy with too many,
    `errors.Permanent` if it can never handle this input. It may be left early; the engine stays
    usable.
    """

    @property
    def engine(self) -> Engine:
        """Name, revision and model digest of what really runs."""
        ...

    def recognize(
        self, blocks: AsyncIterator[Samples], request: Request, known: ResumePoint = FROM_START
    ) -> AsyncGenerator[Hypothesis, None]: ...
