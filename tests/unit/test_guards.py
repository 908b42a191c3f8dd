"""What is believed of a text, and how loops are told once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.transcribe.whisper.guards import (
    TIMES,
    Guards,
    TextQuality,
    compression_ratio,
    without_loops,
)

GUARDS = Guards()
SENTENCE = "Can you please give me your customer number?"
WORDS = st.lists(st.sampled_from("abc"), max_size=30)


def told_once(words: list[str]) -> list[str]:
    return without_loops(words, lambda word: word)


def has_loop(words: list[str]) -> bool:
    return any(
        words[at : at + TIMES * length] == words[at : at + length] * TIMES
        for length in range(1, 17)
        for at in range(len(words) - TIMES * length + 1)
    )


@pytest.mark.parametrize(
    ("text", "likelihood", "no_speech", "quality"),
    [
        (SENTENCE, -0.3, 0.0, TextQuality.GOOD),
        (SENTENCE, -0.3, 0.99, TextQuality.GOOD),
        (SENTENCE, -1.2, 0.5, TextQuality.DOUBTFUL),
        (SENTENCE, -1.2, 0.7, TextQuality.SILENT),
        (f"{SENTENCE} " * 9, -0.1, 0.0, TextQuality.DOUBTFUL),
        (f"{SENTENCE} " * 9, -1.2, 0.7, TextQuality.SILENT),
        ("", -0.3, 0.0, TextQuality.GOOD),
        ("", -1.2, 0.9, TextQuality.SILENT),
    ],
)
def test_a_guess_is_doubted_and_where_nobody_speaks_it_is_silence(
    text: str, likelihood: float, no_speech: float, quality: TextQuality
) -> None:
    assert GUARDS.assess(text, likelihood, no_speech) is quality


def test_only_what_repeats_itself_compresses_well() -> None:
    assert compression_ratio("") == 0
    assert compression_ratio(SENTENCE) < 1.2
    assert compression_ratio("ha" * 100) > GUARDS.repetitive


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("no no", "no no"),
        ("no no no no", "no"),
        ("well no no no thank you", "well no thank you"),
        ("thank you thank you thank you thank you bye", "thank you bye"),
        ("thank you thank you bye", "thank you thank you bye"),
        ("a b c a b c a b c a", "a b c a"),
        ("one eight eight eight nine", "one eight nine"),
    ],
)
def test_a_phrase_that_follows_itself_three_times_is_told_once(words: str, told: str) -> None:
    assert " ".join(told_once(words.split())) == told


def test_a_phrase_of_16_words_is_told_once_and_a_longer_one_stays() -> None:
    for length, times in ((16, 1), (17, 3)):
        phrase = [f"w{number}" for number in range(length)]
        assert told_once(phrase * 3) == phrase * times


@given(WORDS)
def test_no_word_is_made_up_and_their_order_stays(words: list[str]) -> None:
    numbered = list(enumerate(words))
    kept = without_loops(numbered, lambda word: word[1])
    assert set(kept) <= set(numbered)
    assert all(one[0] < other[0] for one, other in pairwise(kept))
    assert {text for _, text in kept} == set(words)


@given(WORDS)
def test_a_text_without_a_loop_stays_as_it_is(words: list[str]) -> None:
    if not has_loop(words):
        assert told_once(words) == words


@given(WORDS.filter(bool), st.integers(TIMES, 6), WORDS, WORDS)
def test_a_loop_is_always_found(
    phrase: list[str], times: int, before: list[str], after: list[str]
) -> None:
    words = [*before, *(phrase[:16] * times), *after]
    assert len(told_once(words)) < len(words)
