"""Sentiment of sentences and of whole calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.base import Channel
from events.documents import Sentiment, SpokenSegment
from functions.summarize.extractive.sentences import sentences
from functions.summarize.extractive.sentiment import (
    call_score,
    label,
    lexicon_digest,
    lexicon_version,
    score_of,
)
from functions.summarize.extractive.words import NEUTRAL_IN_CALLS

COMPLAINT = "this is terrible service and i am furious"
DELIGHT = "you have been wonderful i am so happy"
FACT = "the parcel is in the warehouse"


def segments_of(*texts: str) -> list[SpokenSegment]:
    speakers: tuple[Channel, Channel] = ("left", "right")
    return [
        SpokenSegment(
            id=f"s{at}",
            speaker=speakers[at % 2],
            start_time=at,
            end_time=at + 1,
            text=text,
            confidence=1,
        )
        for at, text in enumerate(texts)
    ]


def score(*texts: str) -> float:
    return call_score(sentences(segments_of(*texts)))


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (1, "positive"),
        (0.05, "positive"),
        (0.049, "neutral"),
        (0, "neutral"),
        (-0.049, "neutral"),
        (-0.05, "negative"),
        (-1, "negative"),
    ],
)
def test_labels_follow_the_thresholds_of_vader(value: float, word: Sentiment) -> None:
    assert label(value) == word


@given(st.lists(st.text(max_size=60), max_size=8))
def test_scores_stay_between_minus_one_and_one(texts: list[str]) -> None:
    assert -1 <= score(*texts) <= 1


def test_case_and_punctuation_are_not_needed() -> None:
    assert score_of("i am very disappointed and angry") == score_of(
        "I am very disappointed and angry."
    )


def test_nothing_said_is_neutral() -> None:
    assert score() == 0
    assert score("hello", "hm", "…") == 0


def test_courtesy_is_not_sentiment() -> None:
    assert (
        score(
            "Good morning, thank you for calling. How can I help you?",
            "Yes, please, I'd like to change the date on my credit card order.",
            "Sure, no problem. I'm sorry for the wait.",
            "Okay, thanks.",
            "You're welcome. Have a great day.",
        )
        == 0
    )


def test_the_end_of_a_call_weighs_more_than_its_beginning() -> None:
    assert score(COMPLAINT, FACT, DELIGHT) > 0 > score(DELIGHT, FACT, COMPLAINT)


def test_a_short_exclamation_does_not_outweigh_a_complaint() -> None:
    assert score("oh great", COMPLAINT, FACT, FACT) < -0.05


def test_plain_talk_dilutes_sentiment_without_drowning_it() -> None:
    diluted = score(*[FACT] * 8, COMPLAINT, *[FACT] * 8)
    assert score(COMPLAINT) < diluted < -0.05


def test_an_angry_call_is_negative_and_a_happy_one_positive() -> None:
    angry = score(
        "I've been waiting for three weeks and nobody cares.",
        "I'm sorry, sir.",
        "This is the worst company I have ever dealt with. It's a disgrace.",
        "I can't do anything about that.",
        "Then I'm cancelling. Useless.",
    )
    happy = score(
        "i just wanted to say the new bed is amazing",
        "oh that's lovely to hear",
        "the drivers were so friendly and careful",
        "i'll pass that on to them",
        "thank you so much i'm really happy with it",
    )
    assert (label(angry), label(happy)) == ("negative", "positive")


def test_a_long_utterance_is_scored_in_windows_and_does_not_saturate() -> None:
    mixed = " ".join(["the car was good and the ride was fine and then we drove on"] * 40)
    assert 0.05 < score_of(mixed) < 0.99


def test_the_lexicon_is_the_published_one() -> None:
    assert lexicon_version().startswith("3.")
    assert len(lexicon_digest()) == 64
    assert all(score_of(word) == 0 for word in NEUTRAL_IN_CALLS)
