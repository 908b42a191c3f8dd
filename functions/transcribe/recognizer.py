"""The port to a speech recogniser."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from events.documents import Engine, Language, Request, Segment

DIGITAL_SILENCE = -100.0
"""Level of digital silence in dBFS."""
Samples: TypeAlias = NDArray[np.int16]
"""Mono samples at 16 kHz, shape (n,)."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The segments recognised in one more part of a channel: an utterance or a packed window.

    `segments` is empty if nobody speaks in that part. `language` is the channel's, or None while
    it is not known.
    """

    segments: tuple[Segment, ...]
    language: Language | None = None


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """How far an earlier attempt came: the number of hypotheses it made, and the language."""

    hypotheses: int = 0
    language: Language | None = None


FROM_START = ResumePoint()


class Recognizer(Protocol):
    """Turns one channel's samples into segments.

    `recognize` takes blocks of samples in order, of any length, and yields hypotheses in order of
    time, each as soon as it is made; times are seconds from the first sample. `request` carries
    the client's hints. Equal samples make equal hypotheses, so those before `resume` are neither
    made nor yielded again. It raises `errors.Transient` if the engine died, `errors.Unavailable`
    if the engine is busy, and `errors.Permanent` if it can never handle this input. The generator
    may be closed early; the engine stays usable.
    """

    @property
    def engine(self) -> Engine:
        """Name, revision and model digest of what really runs."""
        ...

    def recognize(
        self, blocks: AsyncIterator[Samples], request: Request, resume: ResumePoint = FROM_START
    ) -> AsyncGenerator[Hypothesis, None]: ...
