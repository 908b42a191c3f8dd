import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.documents import Segment, Word
from functions.transcribe.whisper.words import (
    SEGMENT_PAUSE,
    Token,
    in_order,
    is_overlong,
    segments_of,
    words_of,
)

TIMES = st.floats(-1, 40, allow_nan=False)
PIECES = st.lists(
    st.builds(Token, text=st.text(max_size=6), start=TIMES, end=TIMES, probability=st.floats(0, 1)),
    max_size=12,
)


def spoken(*texts: str, every: float = 0.4) -> list[Token]:
    """The pieces one after the other without a pause."""
    return [Token(text, n * every, (n + 1) * every, 0.5) for n, text in enumerate(texts)]


def told(
    pieces: list[Token], language: str = "en", since: float = 0, until: float = 99
) -> list[Segment]:
    """The pieces as segments between two times."""
    words = in_order(words_of(pieces, language), since, until)
    return segments_of(list(words), language)


def words(pieces: list[Token], language: str = "en") -> list[str]:
    return [word.word for segment in told(pieces, language) for word in segment.words]


def test_leading_spaces_go_and_punctuation_stays() -> None:
    assert words(spoken(" Hello,", " how", " are", " you?")) == ["Hello,", "how", "are", "you?"]


def test_a_piece_without_a_space_belongs_to_the_word_before() -> None:
    pieces = [Token(" state", 0, 1, 0.2), Token("-of", 1, 1.5, 0.4), Token("-the", 1.5, 2, 0.9)]
    (segment,) = told(pieces)
    (word,) = segment.words
    assert (word.word, word.start_time, word.end_time) == ("state-of-the", 0, 2)
    assert word.confidence == pytest.approx(0.5)
    assert segment.confidence == word.confidence


def test_where_no_spaces_are_written_every_piece_is_a_word_and_the_text_has_none() -> None:
    pieces = spoken("你", "好", "。")
    (segment,) = told(pieces, "zh")
    assert [word.word for word in segment.words] == ["你", "好", "。"]
    assert segment.text == "你好。"


def test_a_word_is_overlong_if_it_lasts_longer_than_it_can_be_said_in() -> None:
    assert is_overlong(Token("no", 1, 1.7, 0.8))
    assert not is_overlong(Token("no", 1, 1.5, 0.8))
    assert not is_overlong(Token("$1,250", 1, 3.9, 0.8))
    assert is_overlong(Token("$1,250", 1, 4.1, 0.8))


def test_punctuation_adds_nothing_to_a_word_but_its_sign() -> None:
    pieces = [Token(" yes", 1, 1.4, 0.8), Token(",", 1.4, 3, 0.1), Token(" no", 3, 3.3, 0.8)]
    assert list(words_of(pieces, "en")) == [Token("yes,", 1, 1.4, 0.8), Token("no", 3, 3.3, 0.8)]
    assert list(words_of([Token(" -", 1, 2, 0.5)], "en")) == [Token("-", 1, 2, 0.5)]


def test_a_word_that_begins_too_early_is_moved_and_not_stretched() -> None:
    one, two = Token("one", 0, 1, 1), Token("two", 0.5, 0.8, 1)
    assert [(w.start_time, w.end_time) for w in in_order([one, two], 0.2, 5)] == [(0.2, 1), (1, 1)]


def test_each_segment_keeps_what_the_engine_thought_of_the_whole() -> None:
    said = [
        Word(word=text, start_time=start, end_time=start + 1, confidence=1)
        for text, start in (("one", 0), ("two", 5))
    ]
    segments = segments_of(said, "en", mean_log_probability=-0.3, no_speech_probability=0.1)
    figures = [(s.mean_log_probability, s.no_speech_probability) for s in segments]
    assert figures == [(-0.3, 0.1)] * 2


def test_a_pause_ends_a_segment() -> None:
    pieces = [
        Token(" one", 0, 1, 1),
        Token(" two", 1 + SEGMENT_PAUSE, 2, 1),
        Token(" three", 2.1, 3, 1),
    ]
    assert [s.text for s in told(pieces)] == ["one", "two three"]


@pytest.mark.parametrize("noise", [" ...", " -", "♪♪", " \0", "  "])
def test_what_has_no_letter_and_no_digit_is_no_segment(noise: str) -> None:
    assert told(spoken(noise)) == []


def test_control_characters_and_surrogates_never_leave() -> None:
    assert words(spoken(" o\0ne\n", " t\x1bw\x85o", " \ud800three")) == ["one", "two", "three"]


def test_joiners_of_other_scripts_stay() -> None:
    two_parts = (
        "\u0645\u06cc\u200c\u062e\u0648\u0631\u0645"  # Persian, with a zero-width non-joiner
    )
    assert words(spoken(f" {two_parts}"), "fa") == [two_parts]


@given(PIECES, st.sampled_from(["en", "zh"]), st.floats(0, 20), st.floats(20, 40))
def test_words_follow_each_other_within_the_bounds(
    pieces: list[Token], language: str, since: float, until: float
) -> None:
    segments = told(pieces, language, since, until)
    times = [t for s in segments for word in s.words for t in (word.start_time, word.end_time)]
    assert times == sorted(times)
    assert all(round(since, 3) <= time <= round(until, 3) for time in times)
    for segment in segments:
        assert segment.words
        assert segment.start_time == segment.words[0].start_time
        assert segment.end_time == segment.words[-1].end_time
        space = "" if language == "zh" else " "
        assert segment.text == space.join(word.word for word in segment.words)


@given(PIECES)
def test_whatever_leaves_can_be_kept(pieces: list[Token]) -> None:
    for segment in told(pieces, until=40):
        kept = json.dumps(segment.text, ensure_ascii=False).encode()
        assert b"\\u00" not in kept
        assert 0 <= segment.confidence <= 1
