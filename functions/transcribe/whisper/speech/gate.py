"""Decide which frames of a channel may hold speech by their levels alone.

A voice activity detector costs the same for every frame, silence included. The gate spares it the
frames that are digital silence or no louder than the line's own noise. The noise floor of a
stretch is a low percentile of its levels; the lowest floor of the last few stretches counts (after
Martin's minimum statistics, IEEE TSAP 9(5), 2001). In doubt the gate is open; that costs time only.
"""

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from functions.transcribe.flags import Flags
from functions.transcribe.recognizer import DIGITAL_SILENCE, Samples
from shared.audio.pcm import PCM16_FULL_SCALE

VAD_FRAME = 512
"""Samples a frame: 32 ms, what Silero VAD takes at a time."""

FrameLevels: TypeAlias = NDArray[np.float32]
"""One level per frame in dBFS (RMS), shape (frames,)."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """Thresholds of the gate: levels in dBFS, margins in dB, durations in frames."""

    margin: float = 3.0
    """Least difference of speech to the noise floor."""
    never: float = -66.0
    """Level below which a frame is silence, whatever the floor."""
    always: float = -42.0
    """Level above which a frame may be speech, whatever the floor."""
    percentile: float = 10.0
    """The noise floor of a stretch is this percentile of its levels."""
    history: int = 4
    """Stretches whose floors count, the present one included."""
    around: int = 5
    """Frames before and after a loud frame that pass with it: soft first and last sounds, and what
    a detector needs to settle."""


class Gate:
    """Takes a channel's levels in order, stretch by stretch.

    Its results depend on how the channel is cut into stretches, so these must have equal lengths.
    """

    def __init__(self, loudness: Loudness | None = None) -> None:
        self._loudness = loudness or Loudness()
        self._floors: deque[float] = deque(maxlen=self._loudness.history)
        self._before: Flags = np.zeros(self._loudness.around, np.bool_)

    def opened(self, levels: FrameLevels, ahead: FrameLevels) -> Flags:
        """Return for each frame of the next stretch whether it may hold speech.

        `ahead` holds the levels of the next `Loudness.around` frames, or of fewer at the end.
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
    """Return the level of each frame without its mean; `samples` has shape (frames * VAD_FRAME,).

    The sums are exact, so equal frames have equal levels.
    """
    wide = samples.reshape(-1, VAD_FRAME).astype(np.float64)
    power = np.einsum("ij,ij->i", wide, wide) / VAD_FRAME - wide.mean(axis=1) ** 2
    levels: FrameLevels = 10 * np.log10(power / PCM16_FULL_SCALE**2 + 10 ** (DIGITAL_SILENCE / 10))
    return levels.astype(np.float32)
