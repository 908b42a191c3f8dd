import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.training.data.mel import RATE
from infra.training.data.utterances import Phone, Word
from infra.training.speech.spoken import EDGE, Spoken, resampled, timed_words, trimmed


def test_a_word_ends_where_the_next_begins() -> None:
    words = timed_words("No problem.", {0: 0.0, 3: 0.4}, [], 1.0)
    assert words == (Word("No", 0.0, 0.4), Word("problem.", 0.4, 1.0))


def test_a_word_ends_at_the_pause_before_the_next() -> None:
    phones = [Phone("n", 0.0), Phone("_:", 0.3), Phone("p", 0.5)]
    words = timed_words("No, problem.", {0: 0.0, 4: 0.5}, phones, 1.0)
    assert words == (Word("No,", 0.0, 0.3), Word("problem.", 0.5, 1.0))


def test_a_word_without_a_time_lies_between_its_neighbours() -> None:
    words = timed_words("one of the three", {0: 0.1, 4: 0.5, 11: 0.9}, [], 1.4)
    assert [word.start for word in words] == [0.1, 0.5, 0.7, 0.9]


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=8))
def test_words_never_overlap(lengths: list[float]) -> None:
    begins = [sum(lengths[:number]) for number in range(len(lengths))]
    words = timed_words(
        " ".join("ab" for _ in lengths),
        {3 * number: begin for number, begin in enumerate(begins)},
        [],
        sum(lengths),
    )
    edges = [edge for word in words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert len(words) == len(lengths)


def test_silence_is_cut_off_and_times_move_along() -> None:
    audio = np.zeros(2 * RATE, np.float32)
    spoken = Spoken("Yes.", "v", audio, (Word("Yes.", 0.5, 1.0),), (Phone("j", 0.5),))
    cut = trimmed(spoken)
    assert cut.seconds == pytest.approx(0.5 + 2 * EDGE)
    assert cut.words == (Word("Yes.", EDGE, 0.52),)
    assert cut.phones == (Phone("j", EDGE),)


def test_a_tone_stays_itself_at_another_rate() -> None:
    at = np.arange(22_050) / 22_050
    tone = np.sin(2 * np.pi * 440 * at).astype(np.float32)
    same = resampled(tone, 22_050)
    assert len(same) == RATE
    expected = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    np.testing.assert_allclose(same, expected, atol=1e-3)
