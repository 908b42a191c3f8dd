"""Speech in which the model wrote no word: Whisper skips some of a window now and then.

A window holds speech and hardly any silence, so seconds of it without a word are doubtful. By
themselves, without so much speech around them, the model most often hears what is said in them.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from events.documents import Segment
from functions.transcribe.recognizer import SAMPLE_RATE
from functions.transcribe.whisper.speech.spans import Span
from functions.transcribe.whisper.speech.windows import Window
from functions.transcribe.whisper.words import Token, is_spoken, is_stretched

TimeRange: TypeAlias = tuple[float, float]
"""Of a window, in seconds from its start."""
TOUCH = 0.2
"""Seconds that a span shares with a part without words, if it is to be heard again."""
MOST_OF_WINDOW = 0.6
"""Spans that are more than this share of the window would be heard as badly again."""
SHORTER_BY = 0.5
"""Seconds by which that is shorter than the window: the same would be heard the same."""
ROUNDED = 0.001
"""Seconds by which a segment may seem to be outside of its span."""


def gaps_to_retry(window: Window, words: Sequence[Token], gap: float) -> list[TimeRange]:
    """The spans with a gap of at least so many seconds; or if they are most of the window, the
    gaps. In order; none if there is no word at all: then nobody speaks.
    """
    told = [word for word in words if is_spoken(word.text)]
    if not told:
        return []
    gaps = without_words(told, window.seconds, gap)
    spans = [span for span in window.edges.T.tolist() if any(_touch(span, one) for one in gaps)]
    if _seconds(spans) <= MOST_OF_WINDOW * window.seconds:
        return [(start, end) for start, end in spans]
    return gaps if _seconds(gaps) <= window.seconds - SHORTER_BY else []


def without_words(words: Sequence[Token], seconds: float, gap: float) -> list[TimeRange]:
    """Where there is no word for so long in a window of these seconds; before, between, behind.

    A stretched word may lie anywhere in its time: it is heard again with what it was given.
    """
    sure = [word for word in words if not is_stretched(word)]
    edges = (0.0, *(edge for word in sure for edge in (word.start, word.end)), seconds)
    between = zip(edges[::2], edges[1::2], strict=True)
    return [(last, start) for last, start in between if start - last >= gap]


def fill_gaps(
    segments: Sequence[Segment], more: Sequence[Segment], heard_again: Sequence[Span]
) -> tuple[Segment, ...]:
    """All segments in order of time: of each span that was heard again, `more` of it or what was
    there before, whichever has more words; of equally many, `more`.
    """
    chosen = [one for one in segments if not any(_is_inside(one, span) for span in heard_again)]
    for span in heard_again:
        hearings = ([one for one in heard if _is_inside(one, span)] for heard in (more, segments))
        chosen += max(hearings, key=_words)
    return tuple(sorted(chosen, key=lambda one: (one.start_time, one.end_time)))


def _touch(span: Sequence[float], gap: TimeRange) -> bool:
    shared = min(span[1], gap[1]) - max(span[0], gap[0])
    return shared > min(TOUCH, (span[1] - span[0]) / 2)


def _seconds(parts: Iterable[Sequence[float]]) -> float:
    return sum(end - start for start, end in parts)


def _is_inside(segment: Segment, span: Span) -> bool:
    middle = (segment.start_time + segment.end_time) / 2
    return span.start / SAMPLE_RATE - ROUNDED <= middle <= span.end / SAMPLE_RATE + ROUNDED


def _words(segments: Iterable[Segment]) -> int:
    return sum(is_spoken(word.word) for one in segments for word in one.words)
