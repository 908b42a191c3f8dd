"""Cut one channel's samples into utterances at its silences.

A frame is speech when its level stands out from the noise floor: a low percentile of the levels
around it (after Martin's minimum statistics, IEEE TSAP 9(5), 2001), so that the floor follows the
line's noise. The utterances depend on the samples alone, not on the blocks they come in, and
memory stays bounded by the longest utterance.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from functions.transcribe.recognizer import DIGITAL_SILENCE, Samples
from shared.audio.pcm import PCM16_FULL_SCALE, SAMPLE_RATE

LEVEL_FRAME = SAMPLE_RATE // 50
"""Samples a frame: 20 ms, one period of 50 Hz hum."""
PART = LEVEL_FRAME // 5
"""Samples within which the variance is taken: 4 ms."""
STEP = 50
"""Frames classified at a time: the noise floor is estimated once a second."""

VoiceLevels: TypeAlias = NDArray[np.float64]
"""One level per frame in dBFS (RMS), shape (frames,)."""


@dataclass(frozen=True)
class Cutting:
    """The settings of cutting utterances: durations in seconds, levels in dBFS, margins in dB."""

    pause: float = 0.4
    """Silence that ends an utterance."""
    padding: float = 0.14
    """Silence kept before and after the speech."""
    shortest: float = 0.08
    """Less speech than this is a click."""
    longest: float = 20.0
    """Longer speech is cut where it is quietest in its second half."""
    margin: float = 7.0
    """Least difference of speech to the noise floor."""
    always: float = -31.0
    """Level above which a frame is speech, whatever the floor."""
    never: float = -73.0
    """Level below which a frame is silence, whatever the floor."""
    percentile: float = 5.0
    """Percentile of the levels around that is the noise floor."""
    history: float = 15.0
    """Seconds before a frame whose levels count."""
    ahead: float = 2.0
    """Seconds after a frame whose levels count; the delay of a decision."""
    steady: float = 6.0
    """A second whose level moves less (10th to 90th percentile) is noise that has just begun."""

    def __post_init__(self) -> None:
        if self.pause < 2 * self.padding:
            raise ValueError("a pause must hold the padding of both its neighbours")
        if self.longest < 2 * self.pause:
            raise ValueError("the longest utterance must outlast two pauses")


@dataclass(frozen=True)
class Utterance:
    """Speech between two pauses, padded; `start` is the index of its first sample."""

    start: int
    samples: Samples


@dataclass
class _Run:
    """Speech without a pause: from frame `first`, at the frames `speech` in ascending order."""

    first: int
    speech: list[int]
    padding: int

    @property
    def last(self) -> int:
        return self.speech[-1]


class UtteranceCutter:
    """Takes blocks of any length with `push` and ends with `flush`.

    Utterances come in order and do not overlap. Only steady noise below `Cutting.always`, clicks
    and silence are left out.
    """

    def __init__(self, cutting: Cutting | None = None) -> None:
        self._cutting = cutting or Cutting()
        self._line = _Line()
        self._decided = 0
        self._run: _Run | None = None

    def push(self, block: Samples) -> list[Utterance]:
        """Add samples, shape (n,). Return the utterances whose end is now known."""
        self._line.append(block)
        found = list(self._decide(self._line.frames - nearest_frames(self._cutting.ahead)))
        self._forget()
        return found

    def flush(self) -> list[Utterance]:
        """End the stream. Return the utterances that are left."""
        self._line.end()
        found = list(self._decide(self._line.frames + STEP))
        if self._run:
            found.extend(self._finish(self._run))
        return found

    def _decide(self, limit: int) -> Iterator[Utterance]:
        """Go through the frames in steps that end at `limit` or before."""
        while self._decided + STEP <= limit and self._decided < self._line.frames:
            until = min(self._decided + STEP, self._line.frames)
            threshold = self._threshold(until)
            for frame, level in enumerate(self._line.between(self._decided, until), self._decided):
                yield from self._classify(frame, is_speech=bool(level > threshold))
            self._decided = until

    def _threshold(self, until: int) -> float:
        cut = self._cutting
        around = self._line.between(
            self._decided - nearest_frames(cut.history), until + nearest_frames(cut.ahead)
        )
        floor = float(np.percentile(around, cut.percentile))
        return min(max(floor + cut.margin, cut.never), cut.always)

    def _classify(self, frame: int, *, is_speech: bool) -> Iterator[Utterance]:
        run = self._run
        if is_speech and run is None:
            self._run = _Run(frame, [frame], self._padding)
            return
        if is_speech and run is not None:
            run.speech.append(frame)
        if run is not None and frame - run.last >= nearest_frames(self._cutting.pause):
            yield from self._finish(run)
        elif run is not None and frame - run.first >= nearest_frames(self._cutting.longest):
            yield from self._split(run)

    def _finish(self, run: _Run) -> Iterator[Utterance]:
        self._run = None
        if self._is_spoken(run):
            end = (run.last + 1) * LEVEL_FRAME + self._padding
            yield self._line.utterance(run.first * LEVEL_FRAME - run.padding, end)

    def _split(self, run: _Run) -> Iterator[Utterance]:
        """Cut where 100 ms are quietest, in the second half: speech goes on beyond."""
        earliest = (run.first + run.last) // 2
        levels = self._line.between(earliest, run.last)
        quietest = earliest + int(np.convolve(levels, np.ones(5), mode="same").argmin())
        yield self._line.utterance(run.first * LEVEL_FRAME - run.padding, quietest * LEVEL_FRAME)
        self._run = _Run(quietest, [at for at in run.speech if at >= quietest], 0)

    def _is_spoken(self, run: _Run) -> bool:
        cut = self._cutting
        levels = self._line.between(run.first, run.last + 1)[np.subtract(run.speech, run.first)]
        if len(levels) < nearest_frames(cut.shortest):
            return False
        low, high = np.percentile(levels, (10, 90))
        return bool(len(levels) < STEP or high - low >= cut.steady or levels.max() > cut.always)

    @property
    def _padding(self) -> int:
        return round(self._cutting.padding * SAMPLE_RATE)

    def _forget(self) -> None:
        first = self._run.first if self._run else self._decided
        self._line.forget(
            first * LEVEL_FRAME - self._padding,
            self._decided - nearest_frames(self._cutting.history),
        )


class _Line:
    """The samples and levels still needed, by their index in the whole stream."""

    def __init__(self) -> None:
        self._samples: Samples = np.zeros(0, np.int16)
        self._samples_from = 0
        self._levels: VoiceLevels = np.zeros(0)
        self._levels_from = 0

    @property
    def frames(self) -> int:
        """Whole frames so far."""
        return self._levels_from + len(self._levels)

    def append(self, block: Samples) -> None:
        self._samples = np.concatenate((self._samples, block))
        self._measure(self._samples)

    def end(self) -> None:
        """Count the last frame too, although it is not whole."""
        missing = -(self._samples_from + len(self._samples)) % LEVEL_FRAME
        self._measure(np.concatenate((self._samples, np.zeros(missing, np.int16))))

    def _measure(self, samples: Samples) -> None:
        fresh = samples[self.frames * LEVEL_FRAME - self._samples_from :]
        whole = fresh[: len(fresh) // LEVEL_FRAME * LEVEL_FRAME]
        self._levels = np.concatenate((self._levels, voice_levels(whole)))

    def between(self, first: int, last: int) -> VoiceLevels:
        """Return the levels of the frames first ≤ i < last, as far as they are kept."""
        return self._levels[max(first - self._levels_from, 0) : max(last - self._levels_from, 0)]

    def utterance(self, start: int, end: int) -> Utterance:
        start = max(start, 0)
        return Utterance(
            start, self._samples[start - self._samples_from : end - self._samples_from].copy()
        )

    def forget(self, sample: int, frame: int) -> None:
        """Drop samples before `sample`, and levels before both its frame and `frame`."""
        stale = max(sample - self._samples_from, 0)
        self._samples, self._samples_from = self._samples[stale:], self._samples_from + stale
        stale = max(min(frame, sample // LEVEL_FRAME) - self._levels_from, 0)
        self._levels, self._levels_from = self._levels[stale:], self._levels_from + stale


def voice_levels(samples: Samples) -> VoiceLevels:
    """Return the level of each frame; the sums are exact, so equal frames have equal levels.

    Taken as the variance within 4 ms, it leaves out rumble and most of the hum below speech.
    """
    parts = samples.reshape(-1, LEVEL_FRAME // PART, PART).astype(np.int64)
    variance = (parts**2).sum(axis=2) * PART - parts.sum(axis=2) ** 2
    power = variance.sum(axis=1) / (LEVEL_FRAME * PART * PCM16_FULL_SCALE**2)
    levels: VoiceLevels = 10 * np.log10(power + 10 ** (DIGITAL_SILENCE / 10))
    return levels


def nearest_frames(seconds: float) -> int:
    """Return the duration in frames, rounded to nearest."""
    return round(seconds * SAMPLE_RATE / LEVEL_FRAME)
