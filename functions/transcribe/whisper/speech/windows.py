"""Packs the speech of one channel into windows, block by block.

The gate leaves out frames that cannot hold speech, the detector tells which of the others do, and
spans of speech fill one window after the other, however far apart they lie. What the windows are
depends on the samples alone, not on the blocks they come in. Memory stays bounded by a window and
a stretch, whatever the length of the channel.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from functions.transcribe.recognizer import SAMPLE_RATE, Samples
from functions.transcribe.whisper.speech.gate import (
    FULL_SCALE,
    VAD_FRAME,
    Flags,
    FrameLevels,
    Gate,
    Loudness,
    frame_levels,
)
from functions.transcribe.whisper.speech.spans import (
    Detector,
    Hysteresis,
    Span,
    SpeechSettings,
    between_pauses,
    quietest,
    runs,
    sample_count,
    whole_frames,
    widest_pause,
)

STRETCH = 1_024
"""Frames that are decided at a time: 33 s."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where something heard in a window lies: in which of its spans, and when in the recording.

    Times in seconds from the recording's start, both inside the span.
    """

    span: int
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Window:
    """Spans of speech, in order and disjoint, and their samples one after another."""

    spans: tuple[Span, ...]
    samples: Samples

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """Where each span starts and where it ends in the window, seconds, shape (2, spans)."""
        lengths = np.array([len(span) for span in self.spans]) / SAMPLE_RATE
        ends = lengths.cumsum()
        return np.stack((ends - lengths, ends))

    def place(self, start: float, end: float, since: int = 0) -> Placement:
        """Where that from `start` to `end` lies; in seconds from the window's start.

        It goes to the span with which it shares the most time, or to the nearest, from span
        `since` on, and is shortened to what is in it.
        """
        starts, ends = self.edges
        shared = np.minimum(max(start, end), ends) - np.maximum(start, starts)
        index = since + int(shared[since:].argmax())
        span, offset = self.spans[index], float(starts[index])
        return Placement(
            index, _inside(span, start - offset), _inside(span, max(start, end) - offset)
        )

    def within(self, parts: Iterable[tuple[float, float]]) -> "Window":
        """What lies in these parts, which are in order and disjoint: seconds from the start."""
        spans: list[Span] = []
        pieces: list[Samples] = []
        for start, end in parts:
            first, last = round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)
            pieces.append(self.samples[first:last])
            for span in self.spans:
                inside = Span(span.start + max(first, 0), span.start + min(last, len(span)))
                first, last = first - len(span), last - len(span)
                if inside.start < inside.end:
                    spans.append(inside)
        return Window(tuple(spans), np.concatenate(pieces))


def _inside(span: Span, time: float) -> float:
    """Seconds from the span's start as seconds of the recording, at its ends if beyond them."""
    start = span.start / SAMPLE_RATE
    return min(max(start + time, start), span.end / SAMPLE_RATE)


class Windower:
    """Takes blocks of any length with `feed` and ends with `end`.

    Windows come in order of time, and so do the spans in them. Every frame that the detector
    calls speech is in exactly one. Only a span that is longer than a window, or than what is left
    of one, is cut, in a silence inside; where there is none, at its quietest frame.
    """

    def __init__(
        self,
        detector: Detector,
        speech: SpeechSettings | None = None,
        loudness: Loudness | None = None,
    ) -> None:
        self._speech = speech or SpeechSettings()
        self._stretches = _Stretches((loudness or Loudness()).around)
        self._gate = Gate(loudness)
        self._detector = detector
        self._hysteresis = Hysteresis(self._speech)
        self._opened = False
        self._line = _Line()
        self._start: int | None = None
        self._pack = _Pack(sample_count(self._speech.longest))

    def feed(self, block: Samples) -> list[Window]:
        """Add samples (int16, shape (n,)); returns the windows that are now full."""
        return [
            window
            for stretch, ahead in self._stretches.push(block)
            for window in self._hear(stretch, ahead)
        ]

    def end(self) -> list[Window]:
        """The channel is over: returns what is left."""
        self._line.until = self._stretches.taken
        found = [
            window
            for stretch, ahead in self._stretches.rest()
            for window in self._hear(stretch, ahead)
        ]
        found.extend(self._pack_spans(ended=True))
        return [*found, self._pack.window()] if self._pack.spans else found

    def _hear(self, stretch: Samples, ahead: Samples) -> Iterator[Window]:
        levels = frame_levels(stretch)
        opened = self._gate.opened(levels, frame_levels(ahead))
        self._line.append(stretch, levels, self._spoken(stretch, opened))
        yield from self._pack_spans()

    def _spoken(self, stretch: Samples, opened: Flags) -> Flags:
        """Whether each frame is speech; only those that the gate lets through are looked at."""
        probabilities = np.zeros(len(opened), np.float32)
        for first, end in runs(opened).tolist():
            heard = (
                stretch[first * VAD_FRAME : end * VAD_FRAME]
                .reshape(-1, VAD_FRAME)
                .astype(np.float32)
            )
            heard /= FULL_SCALE
            goes_on = first == 0 and self._opened
            probabilities[first:end] = self._detector.probabilities(heard, afresh=not goes_on)
        self._opened = bool(opened[-1])
        return self._hysteresis.spoken(probabilities)

    def _pack_spans(self, *, ended: bool = False) -> Iterator[Window]:
        """Pack the spans that have ended, and of the one that goes on what fills a window."""
        line, pause = self._line, whole_frames(self._speech.pause)
        for first, last in between_pauses(line.spoken, pause):
            is_over = ended or len(line.spoken) - last >= pause
            span = self._padded(line.since + first, line.since + last, is_over=is_over)
            rest = yield from self._fill(span, is_over=is_over)
            self._start = None if is_over else rest.start
        line.forget(self._needed())

    def _padded(self, first: int, last: int, *, is_over: bool) -> Span:
        """The span of these frames. One that goes on has no end yet, one that was cut a start."""
        padding = sample_count(self._speech.padding)
        start = max(first * VAD_FRAME - padding, 0) if self._start is None else self._start
        end = last * VAD_FRAME + (padding if is_over else 0)
        return Span(start, end if self._line.until is None else min(end, self._line.until))

    def _fill(self, span: Span, *, is_over: bool) -> Generator[Window, None, Span]:
        """Pack the span if it has ended; give the windows it fills, and return what is left."""
        pack = self._pack
        while len(span) > (pack.room if is_over else pack.size):
            at = self._seam(span)
            if at > span.start:
                pack.add(Span(span.start, at), self._line)
            yield pack.window()
            span = Span(at, span.end)
        if is_over:
            pack.add(span, self._line)
        return span

    def _seam(self, span: Span) -> int:
        """Where to cut a span that does not fit: its start, if it should go on as a whole."""
        speech, pack = self._speech, self._pack
        least = sample_count(speech.piece) if pack.spans else pack.size // 2
        first = self._line.frame(span.start + least + VAD_FRAME - 1)
        last = self._line.frame(min(span.start + pack.room, span.end - sample_count(speech.piece)))
        frame = widest_pause(self._line.spoken[first:last], whole_frames(speech.breath))
        if frame is None and pack.spans:
            return span.start
        if frame is None:
            frame = quietest(self._line.levels[first:last])
        return (self._line.since + first + frame) * VAD_FRAME

    def _needed(self) -> int:
        """The first frame that a span may still begin in."""
        if self._start is not None:
            return self._start // VAD_FRAME
        return self._line.since + len(self._line.spoken) - whole_frames(self._speech.padding)


class _Pack:
    """The window that is being filled; `size`: the samples it has room for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.spans: list[Span] = []
        self._parts: list[Samples] = []

    @property
    def room(self) -> int:
        return self.size - sum(len(span) for span in self.spans)

    def add(self, span: Span, line: "_Line") -> None:
        self.spans.append(span)
        self._parts.append(line.between(span))

    def window(self) -> Window:
        """What is in it. It is empty then."""
        window = Window(tuple(self.spans), np.concatenate(self._parts))
        self.spans, self._parts = [], []
        return window


class _Line:
    """What is still needed of the channel, from frame `since` of the recording on.

    `until`: the samples of the recording, once they are known.
    """

    def __init__(self) -> None:
        self.since = 0
        self.until: int | None = None
        self.levels: FrameLevels = np.zeros(0, np.float32)
        self.spoken: Flags = np.zeros(0, np.bool_)
        self._samples: Samples = np.zeros(0, np.int16)

    def append(self, stretch: Samples, levels: FrameLevels, spoken: Flags) -> None:
        self._samples = np.concatenate((self._samples, stretch))
        self.levels = np.concatenate((self.levels, levels))
        self.spoken = np.concatenate((self.spoken, spoken))

    def frame(self, sample: int) -> int:
        """The frame in which a sample of the recording lies, counted from `since`."""
        return max(sample // VAD_FRAME - self.since, 0)

    def between(self, span: Span) -> Samples:
        """The span's samples, for good."""
        begun = self.since * VAD_FRAME
        return self._samples[span.start - begun : span.end - begun].copy()

    def forget(self, frame: int) -> None:
        """Let go of what lies before this frame of the recording."""
        stale = max(frame - self.since, 0)
        self.since += stale
        self.levels, self.spoken = self.levels[stale:], self.spoken[stale:]
        self._samples = self._samples[stale * VAD_FRAME :]


class _Stretches:
    """Turns blocks of any length into stretches of whole frames, with some frames ahead of each.

    `taken`: the samples so far.
    """

    def __init__(self, ahead: int) -> None:
        self.taken = 0
        self._held = 0
        self._buffer: Samples = np.zeros((STRETCH + ahead) * VAD_FRAME, np.int16)

    def push(self, block: Samples) -> Iterator[tuple[Samples, Samples]]:
        while len(block):
            part = block[: len(self._buffer) - self._held]
            self._buffer[self._held : self._held + len(part)] = part
            self._held += len(part)
            self.taken += len(part)
            block = block[len(part) :]
            if self._held == len(self._buffer):
                yield self._full()

    def _full(self) -> tuple[Samples, Samples]:
        stretch, ahead = np.split(self._buffer.copy(), [STRETCH * VAD_FRAME])
        self._held = len(ahead)
        self._buffer[: self._held] = ahead
        return stretch, ahead

    def rest(self) -> Iterator[tuple[Samples, Samples]]:
        """What is left, the last frame filled up with silence."""
        missing = -self._held % VAD_FRAME
        left = np.concatenate((self._buffer[: self._held], np.zeros(missing, np.int16)))
        size, reach = STRETCH * VAD_FRAME, len(self._buffer)
        for first in range(0, len(left), size):
            yield left[first : first + size], left[first + size : first + reach]
