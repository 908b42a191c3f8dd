"""Pack the speech of one channel into windows, block by block.

The gate leaves out frames that cannot hold speech, the detector finds speech in the others, and
spans of speech fill one window after the other, however far apart they lie. The windows depend on
the samples alone, not on the blocks they come in. Memory stays bounded by a window and
a stretch, whatever the length of the channel.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from functions.transcribe.flags import Flags, runs
from functions.transcribe.recognizer import Samples
from functions.transcribe.whisper.speech.gate import (
    VAD_FRAME,
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
    sample_count,
    whole_frames,
    widest_pause,
)
from shared.audio.pcm import PCM16_FULL_SCALE, SAMPLE_RATE

STRETCH = 1_024
"""Frames that are classified at a time: 33 s."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The place of a part of a window: the index of its span, and its times in the recording.

    Times are seconds from the recording's start, both inside the span.
    """

    span: int
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Window:
    """Spans of speech, in order and disjoint, with their samples one after another."""

    spans: tuple[Span, ...]
    samples: Samples

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """Starts and ends of the spans in seconds from the window's start, shape (2, spans)."""
        lengths = np.array([len(span) for span in self.spans]) / SAMPLE_RATE
        ends = lengths.cumsum()
        return np.stack((ends - lengths, ends))

    def place(self, start: float, end: float, since: int = 0) -> Placement:
        """Place the part from `start` to `end`, in seconds from the window's start.

        It goes to the span it shares the most time with, or else to the nearest one, from span
        number `since` on, and is shortened to that span.
        """
        starts, ends = self.edges
        shared = np.minimum(max(start, end), ends) - np.maximum(start, starts)
        index = since + int(shared[since:].argmax())
        span, offset = self.spans[index], float(starts[index])
        return Placement(
            index, _inside(span, start - offset), _inside(span, max(start, end) - offset)
        )

    def within(self, parts: Iterable[tuple[float, float]]) -> "Window":
        """Return a window of these `parts` of this one: in seconds, in order, disjoint."""
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
    """Turn `time`, seconds from the span's start, into seconds of the recording inside it."""
    start = span.start / SAMPLE_RATE
    return min(max(start + time, start), span.end / SAMPLE_RATE)


class Windower:
    """Takes blocks of any length with `feed` and ends with `end`.

    Windows come in order of time, and so do the spans in them. Every frame of speech is in
    exactly one window. Only a span that is longer than a window, or than the room left in one, is
    cut: in a silence inside, or at its quietest frame if there is none.
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
        """Add samples, shape (n,). Return the windows that are now full."""
        return [
            window
            for stretch, ahead in self._stretches.push(block)
            for window in self._classify(stretch, ahead)
        ]

    def end(self) -> list[Window]:
        """End the channel. Return the windows that are left."""
        self._line.until = self._stretches.taken
        found = [
            window
            for stretch, ahead in self._stretches.rest()
            for window in self._classify(stretch, ahead)
        ]
        found.extend(self._pack_spans(ended=True))
        return [*found, self._pack.window()] if self._pack.spans else found

    def _classify(self, stretch: Samples, ahead: Samples) -> Iterator[Window]:
        levels = frame_levels(stretch)
        opened = self._gate.opened(levels, frame_levels(ahead))
        self._line.append(stretch, levels, self._spoken(stretch, opened))
        yield from self._pack_spans()

    def _spoken(self, stretch: Samples, opened: Flags) -> Flags:
        """Return for each frame whether it is speech; the detector sees only `opened` frames."""
        probabilities = np.zeros(len(opened), np.float32)
        for first, end in runs(opened).tolist():
            frames = (
                stretch[first * VAD_FRAME : end * VAD_FRAME]
                .reshape(-1, VAD_FRAME)
                .astype(np.float32)
            )
            frames /= PCM16_FULL_SCALE
            goes_on = first == 0 and self._opened
            probabilities[first:end] = self._detector.probabilities(frames, afresh=not goes_on)
        self._opened = bool(opened[-1])
        return self._hysteresis.spoken(probabilities)

    def _pack_spans(self, *, ended: bool = False) -> Iterator[Window]:
        """Pack the spans that have ended, and of an unfinished one the part that fills a window."""
        line, pause = self._line, whole_frames(self._speech.pause)
        for first, last in between_pauses(line.spoken, pause):
            is_over = ended or len(line.spoken) - last >= pause
            span = self._padded(line.since + first, line.since + last, is_over=is_over)
            rest = yield from self._fill(span, is_over=is_over)
            self._start = None if is_over else rest.start
        line.forget(self._needed())

    def _padded(self, first: int, last: int, *, is_over: bool) -> Span:
        """Return the span of these frames with padding, but for ends that are unknown or cut."""
        padding = sample_count(self._speech.padding)
        start = max(first * VAD_FRAME - padding, 0) if self._start is None else self._start
        end = last * VAD_FRAME + (padding if is_over else 0)
        return Span(start, end if self._line.until is None else min(end, self._line.until))

    def _fill(self, span: Span, *, is_over: bool) -> Generator[Window, None, Span]:
        """Yield the windows that the span fills. Pack what is left if it has ended; return it."""
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
        """Return the sample to cut a span at that does not fit; its start to leave it whole."""
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
        """Return the first frame that a span may still begin in."""
        if self._start is not None:
            return self._start // VAD_FRAME
        return self._line.since + len(self._line.spoken) - whole_frames(self._speech.padding)


class _Pack:
    """The window that is being filled; it has room for `size` samples."""

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
        """Return the window and begin an empty one."""
        window = Window(tuple(self.spans), np.concatenate(self._parts))
        self.spans, self._parts = [], []
        return window


class _Line:
    """The samples, levels and flags still needed, from frame `since` of the recording on.

    `until` is the number of samples in the recording, or None while it is not known.
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
        """Return the frame of a sample of the recording, counted from `since`."""
        return max(sample // VAD_FRAME - self.since, 0)

    def between(self, span: Span) -> Samples:
        """Return a copy of the span's samples."""
        begun = self.since * VAD_FRAME
        return self._samples[span.start - begun : span.end - begun].copy()

    def forget(self, frame: int) -> None:
        """Drop what lies before this frame of the recording."""
        stale = max(frame - self.since, 0)
        self.since += stale
        self.levels, self.spoken = self.levels[stale:], self.spoken[stale:]
        self._samples = self._samples[stale * VAD_FRAME :]


class _Stretches:
    """Cuts blocks of any length into stretches of whole frames, each with the frames after it.

    `taken` counts the samples so far.
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
        """Yield what is left, the last frame filled up with silence."""
        missing = -self._held % VAD_FRAME
        left = np.concatenate((self._buffer[: self._held], np.zeros(missing, np.int16)))
        size, reach = STRETCH * VAD_FRAME, len(self._buffer)
        for first in range(0, len(left), size):
            yield left[first : first + size], left[first + size : first + reach]
