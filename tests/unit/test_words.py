import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.transcribe.words import PAUSE, Piece, segments_of

TIMES = st.floats(-1, 40, allow_nan=False)
PIECES = st.lists(
    st.builds(Piece, text=st.text(max_size=6), start=TIMES, end=TIMES, probability=st.floats(0, 1)),
    max_size=12,
)


def spoken(*texts: str, every: float = 0.4) -> list[Piece]:
    """The pieces one after the other without a pause."""
    return [Piece(text, n * every, (n + 1) * every, 0.5) for n, text in enumerate(texts)]


def words(pieces: list[Piece], language: str = "en") -> list[str]:
    return [word.word for segment in segments_of(pieces, language, 0, 99) for word in segment.words]


def test_leading_spaces_go_and_punctuation_stays() -> None:
    assert words(spoken(" Hello,", " how", " are", " you?")) == ["Hello,", "how", "are", "you?"]


def test_a_piece_without_a_space_belongs_to_the_word_before() -> None:
    pieces = [Piece(" state", 0, 1, 0.2), Piece("-of", 1, 1.5, 0.4), Piece("-the", 1.5, 2, 0.9)]
    (segment,) = segments_of(pieces, "en", 0, 99)
    (word,) = segment.words
    assert (word.word, word.start_time, word.end_time) == ("state-of-the", 0, 2)
    assert word.confidence == pytest.approx(0.5)
    assert segment.confidence == word.confidence


def test_where_no_spaces_are_written_every_piece_is_a_word_and_the_text_has_none() -> None:
    pieces = spoken("你", "好", "。")
    (segment,) = segments_of(pieces, "zh", 0, 99)
    assert [word.word for word in segment.words] == ["你", "好", "。"]
    assert segment.text == "你好。"


def test_a_pause_ends_a_segment() -> None:
    pieces = [Piece(" one", 0, 1, 1), Piece(" two", 1 + PAUSE, 2, 1), Piece(" three", 2.1, 3, 1)]
    assert [s.text for s in segments_of(pieces, "en", 0, 99)] == ["one", "two three"]


@pytest.mark.parametrize("noise", [" ...", " -", "♪♪", " \0", "  "])
def test_what_has_no_letter_and_no_digit_is_no_segment(noise: str) -> None:
    assert segments_of(spoken(noise), "en", 0, 99) == []


def test_control_characters_and_surrogates_never_leave() -> None:
    assert words(spoken(" o\0ne\n", " t\x1bw\x85o", " \ud800three")) == ["one", "two", "three"]


def test_joiners_of_other_scripts_stay() -> None:
    two_parts = (
        "\u0645\u06cc\u200c\u062e\u0648\u0631\u0645"  # Persian, with a zero-width non-joiner
    )
    assert words(spoken(f" {two_parts}"), "fa") == [two_parts]


@given(PIECES, st.sampled_from(["en", "zh"]), st.floats(0, 20), st.floats(20, 40))
def test_words_follow_each_other_within_the_bounds(
    pieces: list[Piece], language: str, since: float, until: float
) -> None:
    segments = segments_of(pieces, language, since, until)
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
def test_whatever_leaves_can_be_kept(pieces: list[Piece]) -> None:
    for segment in segments_of(pieces, "en", 0, 40):
        kept = json.dumps(segment.text, ensure_ascii=False).encode()
        assert b"\\u00" not in kept
        assert 0 <= segment.confidence <= 1
