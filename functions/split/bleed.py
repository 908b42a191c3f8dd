"""Find one party's voice in the other's channel.

While one party talks and the other's channel is quieter, that channel should hold nothing of the
voice. Whether it does is told by the cross-correlation of the two channels (Knapp and Carter, "The
generalized correlation method for estimation of time delay", 1976), normalised, and in the band
of telephone speech. Hum and tones, which are alike at one delay as at the next, do not count.
Chance finds a likeness now and then, but not at the same delay again and again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from events.base import Channel
from events.documents import Bleed
from functions.split.samples import FloatSamples
from shared.audio.pcm import PCM16_FULL_SCALE

BLOCK = 1 << 15
"""Samples at 16 kHz of one comparison: 2.048 s."""
RATE = 8_000
"""Sample rate of the comparison in Hz; a telephone voice lies below half of it."""
LONGEST_LEAD, LONGEST_DELAY = 160, 4_000
"""Samples by which a leak may come earlier (other filters, 20 ms) and later (echo, 500 ms)."""
AUDIBLE_PART = slice(LONGEST_LEAD, BLOCK // 2 - LONGEST_DELAY)
"""The part of the talker's block whose leak lies inside the other's block, early or late."""
VOICE_BAND = (300.0, 3_400.0)
"""Band of telephone speech in Hz, above hum and its strongest overtones."""
TALK = PCM16_FULL_SCALE * 10 ** (-45 / 20)
"""RMS in the band from which a party talks."""
QUIETER = 10 ** (-3 / 20)
"""Highest RMS of the other channel, as a share of the talker's, while only one talks."""
AUDIBLE = PCM16_FULL_SCALE * 10 ** (-65 / 20)
"""Least RMS of a leak in the band; a recorder's own crosstalk is below."""
LEAK_CORRELATION = 0.25
"""Least correlation of a block that counts."""
STANDS_OUT, APART = 0.8, 96
"""Ratio to the main peak that no other correlation peak may exceed, outside ±96 samples (12 ms)."""
SAME_DELAY = 8
"""Samples (1 ms) by which the delays of one leak may differ."""
LEAST_BLOCKS = 3
"""Blocks that must agree on a leak."""
AGREEING_SHARE = 0.5
"""Share of the blocks that must agree on a leak."""

_MIDDLE, _HALF = sum(VOICE_BAND) / 2, (VOICE_BAND[1] - VOICE_BAND[0]) / 2
_IN_BAND = np.abs(np.fft.rfftfreq(BLOCK // 2, 1 / RATE) - _MIDDLE) <= _HALF


@dataclass(frozen=True, slots=True)
class Leak:
    """The talker's leak into the other channel in one block.

    `delay` in samples at 8 kHz, `gain` as a factor, `loudness` the leak's own RMS on the scale of
    16-bit integers, `correlation` from 0 to 1.
    """

    delay: int
    gain: float
    loudness: float
    correlation: float


class Leaks:
    """Collects the leaks of pairs of blocks, `BLOCK` samples of each channel."""

    def __init__(self) -> None:
        self._from_left: list[Leak] = []
        self._from_right: list[Leak] = []

    def add(self, left: FloatSamples, right: FloatSamples) -> None:
        """Measure a pair of blocks; it is skipped unless one party alone talks."""
        sides = in_band(left), in_band(right)
        for (talker, other), leaks in (
            (sides, self._from_left),
            (sides[::-1], self._from_right),
        ):
            if _rms(talker[AUDIBLE_PART]) >= TALK and _rms(other) <= QUIETER * _rms(talker):
                leaks.append(leak(talker, other))

    def found(self) -> tuple[Bleed, ...]:
        """Return the leaks on which most blocks agree, one for each direction at most."""
        both = (
            agreed("left", "right", self._from_left),
            agreed("right", "left", self._from_right),
        )
        return tuple(bleed for bleed in both if bleed is not None)


def in_band(block: FloatSamples) -> FloatSamples:
    """Return the block at 8 kHz, limited to the band of a voice."""
    halved = block[::2] + block[1::2]
    halved *= 0.5
    spectrum = np.fft.rfft(halved)
    spectrum *= _IN_BAND
    return np.fft.irfft(spectrum, len(halved)).astype(np.float32, copy=False)


def leak(talker: FloatSamples, other: FloatSamples) -> Leak:
    """Return the most likely leak of the talker's block into the other."""
    spoken = np.zeros_like(talker)
    spoken[AUDIBLE_PART] = talker[AUDIBLE_PART]
    cross = np.fft.irfft(np.fft.rfft(spoken).conj() * np.fft.rfft(other), len(other))
    shared = np.concatenate([cross[-LONGEST_LEAD:], cross[: LONGEST_DELAY + 1]])
    energy = float(np.einsum("i,i->", spoken, spoken))
    alike = np.abs(shared) / np.sqrt(energy * _energies(other) + 1)
    at = int(alike.argmax())
    gain = abs(float(shared[at])) / energy
    correlation = min(1.0, float(alike[at])) if _stands_out(alike, at) else 0.0
    return Leak(at - LONGEST_LEAD, gain, gain * _rms(talker[AUDIBLE_PART]), correlation)


def agreed(source: Channel, into: Channel, leaks: Sequence[Leak]) -> Bleed | None:
    """Return the leak that most blocks agree on. Returns None if there is none."""
    alike = [one for one in leaks if one.correlation >= LEAK_CORRELATION]
    same = max((_near(one, alike) for one in alike), key=len, default=[])
    if len(same) < LEAST_BLOCKS or len(same) <= AGREEING_SHARE * len(leaks):
        return None
    if median(one.loudness for one in same) < AUDIBLE:
        return None
    return Bleed(
        source=source,
        into=into,
        delay=round(median(one.delay for one in same) / RATE, 4),
        gain=round(20 * math.log10(median(one.gain for one in same)), 1),
        correlation=round(median(one.correlation for one in same), 2),
    )


def _near(leak: Leak, others: Sequence[Leak]) -> list[Leak]:
    return [other for other in others if abs(other.delay - leak.delay) <= SAME_DELAY]


def _stands_out(alike: NDArray[np.float64], at: int) -> bool:
    elsewhere = np.concatenate([alike[: max(0, at - APART)], alike[at + APART + 1 :]])
    return bool(elsewhere.max() <= STANDS_OUT * alike[at])


def _energies(other: FloatSamples) -> NDArray[np.float64]:
    """Return the energy of the part compared at every delay, from the longest lead on."""
    total = np.zeros(len(other) + 1)
    np.cumsum(np.square(other, dtype=np.float64), out=total[1:])
    length, delays = AUDIBLE_PART.stop - AUDIBLE_PART.start, LONGEST_LEAD + LONGEST_DELAY + 1
    energies: NDArray[np.float64] = total[length : length + delays] - total[:delays]
    return energies


def _rms(samples: FloatSamples) -> float:
    return math.sqrt(float(np.einsum("i,i->", samples, samples)) / len(samples))
