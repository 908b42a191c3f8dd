"""The port to a speech recogniser."""

from collections.abc import AsyncIterator
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from events.documents import Engine, Request, Segment

SAMPLE_RATE = 16_000
Samples: TypeAlias = NDArray[np.int16]
"""Mono samples at 16 kHz, shape (n,)."""


class Recognizer(Protocol):
    """Turns one channel's samples into segments.

    `recognize` takes blocks of samples in order, of any length, and yields segments in order of
    time, each as soon as it is known; times are seconds from the first sample. `request` carries
    the caller's hints. It raises `errors.Transient` if the engine died, `errors.Permanent` if it
    can never handle this input.
    """

    @property
    def engine(self) -> Engine:
        """Name, revision and model digest of what really runs."""
        ...

    def recognize(
        self, blocks: AsyncIterator[Samples], request: Request
    ) -> AsyncIterator[Segment]: ...
