from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from infra.training.data.utterances import Word
from infra.training.exam.held_out_sets import SpokenSentence
from infra.training.exam.scores import Score

SAID = (
    SpokenSentence("No problem.", (Word("No", 1.0, 1.2), Word("problem.", 1.2, 1.6))),
    SpokenSentence("Seven card.", (Word("Seven", 5.0, 5.4), Word("card.", 5.4, 5.8))),
)


@dataclass(frozen=True)
class HeardWord:
    word: str
    start: float


@dataclass(frozen=True)
class Heard:
    start: float
    end: float
    text: str
    words: Sequence[HeardWord] | None = None


def score(*heard: Heard, said: Sequence[SpokenSentence] = SAID) -> Score:
    score = Score()
    score.add(said, heard)
    return score


def test_what_is_heard_right_has_no_errors() -> None:
    heard = score(Heard(1.1, 1.6, " No problem."), Heard(5.0, 5.8, " seven card"))
    assert heard.errors == {"sentence": 0, "salad": 0}
    assert heard.words == {"sentence": 2, "salad": 2}
    assert heard.starts == pytest.approx([0.1, 0.0])


def test_errors_count_where_they_are_made() -> None:
    heard = score(Heard(1.0, 1.6, "No good problem."), Heard(5.0, 5.8, "Seven."))
    assert heard.errors == {"sentence": 1, "salad": 1}


def test_of_nothing_heard_every_word_is_an_error() -> None:
    assert score().errors == {"sentence": 2, "salad": 2}


def test_words_where_nobody_speaks_are_invented() -> None:
    assert score(Heard(2.5, 4.0, "Thanks a lot.")).invented == 3
    assert score(Heard(0.0, 1.0, "Yes please."), said=()).invented == 2


def test_a_word_is_timed_against_the_nearest_one_like_it() -> None:
    words = (HeardWord(" No", 1.3), HeardWord(" card.", 9.0))
    assert score(Heard(1.0, 1.6, "No card.", words)).word_starts == pytest.approx([0.3])


def test_a_table_tells_nothing_of_what_nobody_said() -> None:
    assert score(said=()).cells() == ["-", "-", "-", "-", "0"]
