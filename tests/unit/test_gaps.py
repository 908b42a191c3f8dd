"""Which parts of a window are heard again, and what becomes of what is found there."""

import math
from itertools import pairwise

import numpy as np
import pytest

from events.documents import Segment
from functions.transcribe.whisper.gaps import fill_gaps, gaps_to_retry
from functions.transcribe.whisper.speech.spans import Span
from functions.transcribe.whisper.speech.windows import Window
from functions.transcribe.whisper.words import Token
from shared.audio.pcm import SAMPLE_RATE
from tests.support.examples import segment

THREE = ((10.0, 14.0), (20.0, 22.0), (30.0, 34.0))
"""Seconds of the recording; in the window they start at 0, 4 and 6 and end with 10."""


def spans(*seconds: tuple[float, float]) -> tuple[Span, ...]:
    return tuple(Span(round(a * SAMPLE_RATE), round(b * SAMPLE_RATE)) for a, b in seconds)


def window(*seconds: tuple[float, float]) -> Window:
    places = spans(*seconds)
    return Window(places, np.zeros(sum(map(len, places)), np.int16))


def words(*times: tuple[float, float]) -> list[Token]:
    return [Token("word", start, end, 0.9) for start, end in times]


def every(start: float, end: float) -> list[tuple[float, float]]:
    """Words of half a second or less one after the other."""
    count = math.ceil((end - start) * 2)
    edges = np.linspace(start, end, count + 1).tolist()
    return list(pairwise(edges))


@pytest.mark.parametrize(
    ("told", "again"),
    [
        (words((0, 0.8), *every(0.8, 10)), []),
        (words(*every(0, 4), *every(6, 10)), [(4, 6)]),
        (words(*every(0, 4), *every(4, 6), *every(6, 8.5)), [(6, 10)]),
        (words(*every(0, 3.9), (5.2, 6), *every(6, 10)), [(4, 6)]),
        (words(*every(0, 3.7), (5.2, 6), *every(6, 10)), [(0, 4), (4, 6)]),
        (words((0, 1.4), *every(1.4, 10)), [(0, 4)]),
        (words(*every(0, 3), (3, 6), *every(6, 10)), [(0, 4), (4, 6)]),
        (words(*every(0, 1), *every(4, 7)), [(1, 4), (7, 10)]),
        (words((0, 0)), []),
        (words((0, 0.4)), []),
        ([Token("...", 0, 0.5, 0.9)], []),
        ([], []),
    ],
    ids=[
        "all told", "a span", "its end", "hardly before it", "before it too", "an overlong word",
        "an overlong word across two", "most of it", "all of it", "nearly all of it", "no word",
        "nothing",
    ],
)  # fmt: skip
def test_spans_that_lack_words_are_heard_again_or_if_these_are_most_what_lacks_them(
    told: list[Token], again: list[tuple[float, float]]
) -> None:
    assert gaps_to_retry(window(*THREE), told, 1.0) == again


def test_a_short_span_in_a_gap_is_heard_again_too() -> None:
    short = window((10, 14), (20, 20.2), (30, 32), (40, 44))
    told = words(*every(0, 4), *every(6.2, 10.2))
    assert np.allclose(gaps_to_retry(short, told, 1.0), [(4, 4.2), (4.2, 6.2)])


def at(start: float, text: str) -> Segment:
    return segment(start, start + len(text.split()) / 2, text)


def texts(segments: tuple[Segment, ...]) -> list[str]:
    return [one.text for one in segments]


BEFORE = (at(10, "the first one"), at(20, "half"), at(30, "the last"))


def test_what_is_heard_again_with_more_words_takes_its_place_in_order_of_time() -> None:
    found = fill_gaps(BEFORE, (at(20, "not only half"),), spans((20, 22)))
    assert texts(found) == ["the first one", "not only half", "the last"]


def test_what_has_fewer_words_is_not_believed() -> None:
    assert fill_gaps(BEFORE, (at(10, "the"),), spans((10, 14))) == BEFORE
    assert fill_gaps(BEFORE, (), spans((20, 22))) == BEFORE


def test_of_equally_many_words_the_second_hearing_is_taken() -> None:
    assert texts(fill_gaps(BEFORE, (at(20, "calf"),), spans((20, 22)))) == [
        "the first one",
        "calf",
        "the last",
    ]


def test_each_span_is_compared_by_itself() -> None:
    more = (at(20, "much more than half"),)
    assert texts(fill_gaps(BEFORE, more, spans((10, 14), (20, 24)))) == [
        "the first one",
        "much more than half",
        "the last",
    ]


def test_signs_are_no_words() -> None:
    assert texts(fill_gaps((at(10, "hm"),), (at(10, ". . ."),), spans((10, 14)))) == ["hm"]


def test_what_was_heard_elsewhere_stays() -> None:
    found = fill_gaps(BEFORE, (at(12, "and the second"),), spans((11.6, 14)))
    assert texts(found) == ["the first one", "and the second", "half", "the last"]
