"""Find clipped samples: cut off at the limit of some part of their way."""

import numpy as np

from functions.split.samples import FloatSamples
from shared.audio.pcm import PCM16_FULL_SCALE

NEAR_FULL_SCALE = PCM16_FULL_SCALE * 10 ** (-1 / 20)
"""Clipped samples lie within 1 dB of full scale; mu-law and A-law end 0.2 dB below it."""
CEILING = PCM16_FULL_SCALE - 1
"""Limit at which floats beyond full scale are cut off here."""
SHORTEST_RUN = 3
"""A crest touches the limit; three samples in a row and more lie flat on it."""


class Clipping:
    """Measures, on samples as they were uploaded, how many are cut off.

    Clipped are runs of at least `SHORTEST_RUN` samples that all have the channel's highest value,
    or all its lowest, if that is within 1 dB of full scale. Exact for chunks of any size.
    """

    def __init__(self) -> None:
        self._frames = 0
        self._highest = _Runs()
        self._lowest = _Runs()

    def add(self, samples: FloatSamples) -> None:
        """Measure the next samples of the channel."""
        if len(samples):
            self._frames += len(samples)
            self._highest.add(samples, float(samples.max()))
            self._lowest.add(
                -samples if samples.min() <= -NEAR_FULL_SCALE else samples, -float(samples.min())
            )

    @property
    def share(self) -> float:
        """Share of samples that are cut off, 0 to 1."""
        return (self._highest.samples + self._lowest.samples) / max(1, self._frames)


class _Runs:
    """Samples in long runs at the highest value so far."""

    def __init__(self) -> None:
        self._limit = NEAR_FULL_SCALE
        self._ended = 0
        self._open = 0

    @property
    def samples(self) -> int:
        return self._ended + _long(self._open)

    def add(self, samples: FloatSamples, highest: float) -> None:
        """Count the samples at the limit; `highest` is their maximum."""
        highest = min(highest, CEILING)
        if highest > self._limit:
            self._limit, self._ended, self._open = highest, 0, 0
        if highest < self._limit:
            self._end()
        else:
            self._count(samples >= self._limit)

    def _count(self, at_limit: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        if not at_limit[0]:
            self._end()
        edges = np.flatnonzero(np.diff(at_limit, prepend=False, append=False))
        for start, end in edges.reshape(-1, 2).tolist():
            self._open += end - start
            if end < len(at_limit):
                self._end()

    def _end(self) -> None:
        self._ended += _long(self._open)
        self._open = 0


def _long(run: int) -> int:
    return run if run >= SHORTEST_RUN else 0
