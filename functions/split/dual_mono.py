"""Compare the two channels: whether each holds one speaker, and only that one."""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np

from events.documents import Bleed
from functions.split.bleed import BLOCK, Leaks
from functions.split.samples import MOMENT, FloatSamples
from shared.audio.pcm import PCM16_BYTES, PCM16_FULL_SCALE

BLOCK_BYTES = BLOCK * PCM16_BYTES
MOST_BLOCKS = 128
"""Most blocks, spread evenly over the recording, in which a leak is looked for."""
SOUND = PCM16_FULL_SCALE * 10 ** (-45 / 20)
"""RMS of a block from which it counts for dual mono: both channels must be alike in it."""
LEAST_BLOCK_CORRELATION = 0.9
"""Least correlation of such a block: the difference is 6 dB below the common part."""
OWN_SOUND = PCM16_FULL_SCALE * 10 ** (-52 / 20)
"""RMS from which a moment of sound that only one channel has may be part of a word."""
LEAST_MOMENTS = 3
"""Such moments in a block that make a word: a second speaker, however quiet."""
LEAST_CORRELATION = 0.995
"""Least correlation of the whole: the difference, a codec's noise, is 20 dB below."""
MOST_APART = 10.0
"""Most dB between two copies. A quieter one is a leak, whose direction tells who spoke."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of comparing the channels."""

    dual_mono: bool
    bleed: tuple[Bleed, ...]


class Comparison:
    """Compares two channels of 16 kHz that pass side by side, `frames` samples in all.

    They are compared block by block, so chunks of any size give the same result.
    """

    def __init__(self, frames: int) -> None:
        self._every = max(1, math.ceil(frames / (BLOCK * MOST_BLOCKS)))
        self._blocks = 0
        self._rest = b"", b""
        self._likeness = Likeness()
        self._leaks = Leaks()

    def add(self, left: bytes, right: bytes) -> None:
        """Add 16-bit samples, the same number of both channels."""
        left, right = self._rest[0] + left, self._rest[1] + right
        end = len(left) - len(left) % BLOCK_BYTES
        for start in range(0, end, BLOCK_BYTES):
            self._compare(_block(left, start), _block(right, start))
        self._rest = left[end:], right[end:]

    def finish(self) -> Compared:
        """Return the result; the last block is padded with silence."""
        silence = bytes(-len(self._rest[0]) % BLOCK_BYTES)
        self.add(silence, silence)
        dual_mono = self._likeness.dual_mono
        return Compared(dual_mono, () if dual_mono else self._leaks.found())

    def _compare(self, left: FloatSamples, right: FloatSamples) -> None:
        self._likeness.add(left, right)
        if self._blocks % self._every == 0:
            self._leaks.add(left, right)
        self._blocks += 1


class Likeness:
    """Decides whether one channel is the other times a constant, of either sign, everywhere.

    Measures: the correlation without delay, in each block with sound and in the whole, and the
    moments in which one channel has sound that the other has not.
    """

    def __init__(self) -> None:
        self._left = 0.0
        self._right = 0.0
        self._both = 0.0
        self._copied = True

    @property
    def dual_mono(self) -> bool:
        """Whether the channels, as far as they were added, carry the same sound."""
        apart = 10 ** (MOST_APART / 10)
        return (
            self._copied
            and 0 < self._left <= apart * self._right
            and self._right <= apart * self._left
            and self._both**2 >= LEAST_CORRELATION**2 * self._left * self._right
        )

    def add(self, left: FloatSamples, right: FloatSamples) -> None:
        """Compare one block of both channels."""
        squares = _product(left, left), _product(right, right)
        both = _product(left, right)
        self._left += squares[0]
        self._right += squares[1]
        self._both += both
        if (
            max(squares) >= SOUND**2 * len(left)
            and both**2 <= LEAST_BLOCK_CORRELATION**2 * squares[0] * squares[1]
        ):
            self._copied = False
        own = _own_moments(left, right, squares[0]), _own_moments(right, left, squares[1])
        if max(own) >= LEAST_MOMENTS:
            self._copied = False


def _own_moments(of: FloatSamples, sound: FloatSamples, squares: float) -> int:
    """Count the moments in which `sound` is not explained by a scaled copy of `of`.

    `squares` is the energy of `of`.
    """
    gain = _product(of, sound) / squares if squares else 0.0
    own = (sound - gain * of).reshape(-1, MOMENT)
    power = np.einsum("ij,ij->i", own, own) / MOMENT
    most = np.einsum("ij,ij->i", *[sound.reshape(-1, MOMENT)] * 2) / MOMENT
    return int(np.count_nonzero((power > OWN_SOUND**2) & (power > most / 4)))


def _block(channel: bytes, start: int) -> FloatSamples:
    return np.frombuffer(channel, "<i2", BLOCK, start).astype(np.float32)


def _product(one: FloatSamples, other: FloatSamples) -> float:
    return float(np.einsum("i,i->", one, other))


async def side_by_side(
    left: AsyncIterator[bytes], right: AsyncIterator[bytes]
) -> AsyncIterator[tuple[bytes, bytes]]:
    """Yield both channels in chunks of equal size; the shorter one goes on in silence.

    The chunks that come must not be empty.
    """
    first, second = await anext(left, b""), await anext(right, b"")
    while first or second:
        size = min(len(chunk) for chunk in (first, second) if chunk)
        yield first[:size].ljust(size, b"\0"), second[:size].ljust(size, b"\0")
        first = first[size:] or await anext(left, b"")
        second = second[size:] or await anext(right, b"")
