"""Tells which frames of a channel may hold speech by their levels alone.

A voice activity detector costs the same for every frame, silence included. The gate spares it the
frames that are digital silence or no louder than the line's own noise: the noise floor is the
lowest of a low percentile of the levels, taken over a few stretches of the recent past (after
Martin's minimum statistics, IEEE TSAP 9(5), 2001). In doubt the gate is open; that costs time only.
"""

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from functions.transcribe.recognizer import Samples

VAD_FRAME = 512
"""Samples a frame: 32 ms, what Silero VAD takes at a time."""
FULL_SCALE = 32_768
NOTHING = -100.0
"""Level of digital silence in dBFS."""

FrameLevels: TypeAlias = NDArray[np.float32]
"""One level per frame in dBFS (RMS), shape (frames,)."""
Flags: TypeAlias = NDArray[np.bool_]
"""A yes or no per frame, shape (frames,)."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """What may hold speech: levels in dB(FS), durations in frames."""

    margin: float = 3.0
    """Speech is this much louder than the noise floor."""
    never: float = -66.0
    """Quieter is silence whatever the floor."""
    always: float = -42.0
    """Louder may be speech whatever the floor."""
    percentile: float = 10.0
    """The noise floor of a stretch is this percentile of its levels."""
    history: int = 4
    """Stretches that the noise floor looks back on, the present one among them."""
    around: int = 5
    """Frames before and after a loud one that are let through with it: soft first and last sounds,
    and what a detector needs to get going."""


class Gate:
    """Takes a channel's levels in order, stretch by stretch.

    Its answers depend on how the channel is cut into stretches: cut it into equal ones.
    """

    def __init__(self, loudness: Loudness | None = None) -> None:
        self._loudness = loudness or Loudness()
        self._floors: deque[float] = deque(maxlen=self._loudness.history)
        self._before: Flags = np.zeros(self._loudness.around, np.bool_)

    def opened(self, levels: FrameLevels, ahead: FrameLevels) -> Flags:
        """Whether each frame of the next stretch may hold speech.

        `ahead`: the levels of the frames after it, `Loudness.around` of them if there are so many.
        """
        around = self._loudness.around
        loud = np.concatenate((levels, ahead)) > self._threshold(levels)
        seen = np.concatenate((self._before, loud, np.zeros(around - len(ahead), np.bool_)))
        self._before = seen[len(levels) : len(levels) + around]
        near: Flags = np.convolve(seen, np.ones(2 * around + 1, np.int64), mode="valid") > 0
        return near

    def _threshold(self, levels: FrameLevels) -> float:
        loudness = self._loudness
        self._floors.append(float(np.percentile(levels, loudness.percentile)))
        return min(max(min(self._floors) + loudness.margin, loudness.never), loudness.always)


def frame_levels(samples: Samples) -> FrameLevels:
    """The level of each frame around its mean; `samples`: shape (frames * FRAME,).

    The sums are exact, so equal frames have equal levels.
    """
    wide = samples.reshape(-1, VAD_FRAME).astype(np.float64)
    power = np.einsum("ij,ij->i", wide, wide) / VAD_FRAME - wide.mean(axis=1) ** 2
    levels: FrameLevels = 10 * np.log10(power / FULL_SCALE**2 + 10 ** (NOTHING / 10))
    return levels.astype(np.float32)
