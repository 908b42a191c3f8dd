"""Voice activity frame by frame, and the places where speech may be cut."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from functions.transcribe.flags import Flags, runs
from functions.transcribe.whisper.speech.gate import VAD_FRAME, FrameLevels
from shared.audio.pcm import SAMPLE_RATE


class Detector(Protocol):
    """Estimates the probability, 0 to 1, that each frame of one channel holds speech.

    `frames` are consecutive, shape (n, VAD_FRAME), values from -1 to 1; returns shape (n,). The
    frames continue those of the call before, unless they begin `afresh`, so every channel needs
    a detector of its own.
    """

    def probabilities(
        self, frames: NDArray[np.float32], *, afresh: bool
    ) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """The settings of finding and cutting speech: probabilities, and durations in seconds.

    Raises `ValueError` for settings that contradict each other.
    """

    threshold: float = 0.5
    """Probability from which speech begins."""
    release: float = 0.35
    """Probability below which speech ends."""
    pause: float = 0.3
    """Silence that ends a span; a shorter one stays inside."""
    padding: float = 0.1
    """Silence kept before and after a span."""
    longest: float = 28.5
    """Longest window. Whisper takes 30 s at a time and is weaker in the last seconds."""
    breath: float = 0.1
    """Shortest silence in which a span that fits no window may be cut."""
    piece: float = 1.0
    """Shortest part to cut off a span: a word without its neighbours is recognised less well."""

    def __post_init__(self) -> None:
        if not 0 < self.release <= self.threshold <= 1:
            raise ValueError("speech ends where it is less likely than where it begins")
        if self.pause < 2 * self.padding:
            raise ValueError("a pause must hold the padding of both its neighbours")
        if self.longest < 4 * (self.piece + self.pause):
            raise ValueError("a window must hold several pieces and pauses")


@dataclass(frozen=True, slots=True)
class Span:
    """Speech with its padding: samples `start` ≤ i < `end` of the recording."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


class Hysteresis:
    """Turns probabilities of frames, in blocks of any length, into speech or silence."""

    def __init__(self, speech: SpeechSettings) -> None:
        self._speech = speech
        self._speaking = False

    def spoken(self, probabilities: NDArray[np.float32]) -> Flags:
        """Return for each of the next frames whether it is speech, shape (n,)."""
        begins = probabilities >= self._speech.threshold
        certain = begins | (probabilities < self._speech.release)
        latest = np.maximum.accumulate(np.where(certain, np.arange(1, len(certain) + 1), 0))
        spoken: Flags = np.concatenate(([self._speaking], begins))[latest]
        if len(spoken):
            self._speaking = bool(spoken[-1])
        return spoken


def between_pauses(spoken: Flags, pause: int) -> Iterator[tuple[int, int]]:
    """Yield first and last + 1 of the frames between two pauses of `pause` frames or more."""
    found = runs(spoken)
    if not len(found):
        return
    parted = found[1:, 0] - found[:-1, 1] >= pause
    firsts = found[np.concatenate(([True], parted)), 0]
    ends = found[np.concatenate((parted, [True])), 1]
    yield from zip(firsts.tolist(), ends.tolist(), strict=True)


def widest_pause(spoken: Flags, breath: int) -> int | None:
    """Return the middle frame of the longest silence inside speech, of equal ones the last.

    Returns None if no silence lasts `breath` frames.
    """
    found = runs(spoken)
    lengths = found[1:, 0] - found[:-1, 1]
    if not len(lengths) or lengths.max() < breath:
        return None
    chosen = len(lengths) - 1 - int(lengths[::-1].argmax())
    return int(found[chosen, 1] + found[chosen + 1, 0]) // 2


def quietest(levels: FrameLevels) -> int:
    """Return the frame at the middle of the quietest 100 ms."""
    around = np.convolve(levels, np.ones(3, np.float32), mode="valid")
    return 1 + int(around.argmin())


def whole_frames(seconds: float) -> int:
    """Return the duration in frames, rounded up."""
    return -int(-seconds * SAMPLE_RATE // VAD_FRAME)


def sample_count(seconds: float) -> int:
    """Return the duration in samples, rounded to nearest."""
    return round(seconds * SAMPLE_RATE)
