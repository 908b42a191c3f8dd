"""Gaps: speech in which the model wrote no word. Whisper skips parts of a window now and then.

A window holds speech and hardly any silence, so seconds of it without a word are doubtful. When
they are decoded by themselves, with less speech around, the model most often finds the words.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from events.documents import Segment
from functions.transcribe.whisper.speech.spans import Span
from functions.transcribe.whisper.speech.windows import Window
from functions.transcribe.whisper.words import Token, is_overlong, is_spoken
from shared.audio.pcm import SAMPLE_RATE

TimeRange: TypeAlias = tuple[float, float]
"""A part of a window, in seconds from the window's start."""
LEAST_SHARED = 0.2
"""Seconds that a span must share with a gap to be decoded again."""
MOST_OF_WINDOW = 0.6
"""Share of the window above which whole spans are not retried: the result would be the same."""
SHORTER_BY = 0.5
"""Seconds by which what is retried must be shorter than the window, for the same reason."""
ROUNDING = 0.001
"""Seconds by which rounding may move a segment out of its span."""


def gaps_to_retry(window: Window, words: Sequence[Token], least: float) -> list[TimeRange]:
    """Return the parts of the window to decode again, in order.

    These are the spans with a gap of `least` seconds or more, or, if such spans are most of the
    window, the gaps alone. Returns nothing if there is no word at all: then nobody speaks.
    """
    spoken = [word for word in words if is_spoken(word.text)]
    if not spoken:
        return []
    gaps = gaps_between(spoken, window.seconds, least)
    spans = [span for span in window.edges.T.tolist() if any(_touch(span, one) for one in gaps)]
    if _seconds(spans) <= MOST_OF_WINDOW * window.seconds:
        return [(start, end) for start, end in spans]
    return gaps if _seconds(gaps) <= window.seconds - SHORTER_BY else []


def gaps_between(words: Sequence[Token], seconds: float, least: float) -> list[TimeRange]:
    """Return the gaps of `least` seconds or more before, between and after the words.

    `seconds` is the window's length. An overlong word counts as a gap, since it may lie anywhere
    in its time.
    """
    certain = [word for word in words if not is_overlong(word)]
    edges = (0.0, *(edge for word in certain for edge in (word.start, word.end)), seconds)
    between = zip(edges[::2], edges[1::2], strict=True)
    return [(last, start) for last, start in between if start - last >= least]


def fill_gaps(
    segments: Sequence[Segment], retried: Sequence[Segment], spans: Sequence[Span]
) -> tuple[Segment, ...]:
    """Return all segments in order of time, with the better result of each retried span.

    `spans` were decoded again, which gave `retried`. The result with more words is the better
    one; of equally many, the later one.
    """
    chosen = [one for one in segments if not any(_is_inside(one, span) for span in spans)]
    for span in spans:
        results = ([one for one in made if _is_inside(one, span)] for made in (retried, segments))
        chosen += max(results, key=_words)
    return tuple(sorted(chosen, key=lambda one: (one.start_time, one.end_time)))


def _touch(span: Sequence[float], gap: TimeRange) -> bool:
    shared = min(span[1], gap[1]) - max(span[0], gap[0])
    return shared > min(LEAST_SHARED, (span[1] - span[0]) / 2)


def _seconds(parts: Iterable[Sequence[float]]) -> float:
    return sum(end - start for start, end in parts)


def _is_inside(segment: Segment, span: Span) -> bool:
    middle = (segment.start_time + segment.end_time) / 2
    return span.start / SAMPLE_RATE - ROUNDING <= middle <= span.end / SAMPLE_RATE + ROUNDING


def _words(segments: Iterable[Segment]) -> int:
    return sum(is_spoken(word.word) for one in segments for word in one.words)
