"""Speech in which the model wrote no word: Whisper skips some of a window now and then.

A window holds speech and hardly any silence, so a second of it without a word is doubtful. By
itself, without so much speech around it, the model most often hears it.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

from events.documents import Segment
from functions.transcribe.recognizer import SAMPLE_RATE
from functions.transcribe.spans import Span
from functions.transcribe.windows import Window
from functions.transcribe.words import Piece

Part: TypeAlias = tuple[float, float]
"""Of a window, in seconds from its start."""
LEAST = 0.3
"""Seconds that a span shares with a part without words before it counts as touched by it."""
SHARE = 0.6
"""Spans that are more than this share of the window would be heard as badly again."""


def to_hear_again(window: Window, words: Sequence[Piece], least: float) -> list[Part]:
    """The spans with at least so many seconds without a word; of a window that is most of them,
    what has no word alone. In order; none if there is no word at all: then nobody speaks.
    """
    if not words:
        return []
    parts = without_words(words, window.seconds, least)
    starts, ends = window.edges.tolist()
    spans = [
        (start, end)
        for start, end in zip(starts, ends, strict=True)
        if any(min(end, last) - max(start, first) > LEAST for first, last in parts)
    ]
    is_little = sum(end - start for start, end in spans) <= SHARE * window.seconds
    return spans if is_little else parts


def without_words(words: Sequence[Piece], seconds: float, least: float) -> list[Part]:
    """Where there is no word for so long in a window of these seconds; before, between, behind."""
    edges = (0.0, *(edge for word in words for edge in (word.start, word.end)), seconds)
    return [(last, start) for last, start in list(pairwise(edges))[::2] if start - last >= least]


def completed(
    segments: Sequence[Segment], more: Sequence[Segment], heard_again: Sequence[Span]
) -> tuple[Segment, ...]:
    """All that was heard, in order of time: where it was heard again, that which has more words."""
    before = [one for one in segments if _is_inside(one, heard_again)]
    if _words(more) < _words(before):
        return tuple(segments)
    kept = (one for one in segments if not _is_inside(one, heard_again))
    return tuple(sorted((*kept, *more), key=lambda one: one.start_time))


def _is_inside(segment: Segment, spans: Iterable[Span]) -> bool:
    middle = (segment.start_time + segment.end_time) / 2 * SAMPLE_RATE
    return any(span.start <= middle <= span.end for span in spans)


def _words(segments: Iterable[Segment]) -> int:
    return sum(len(one.words) for one in segments)
