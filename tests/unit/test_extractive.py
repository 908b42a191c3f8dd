"""The summarizer that only quotes."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from events.base import Channel
from events.documents import Engine, Request, SpokenSegment, SummaryContent, Transcript
from functions.summarize.extractive.engine import ExtractiveSummarizer
from functions.summarize.extractive.sentences import split_sentences, spoken_words
from functions.summarize.extractive.sentiment import lexicon_digest, lexicon_version
from functions.summarize.summarizer import Summarizer

CALL: tuple[tuple[Channel, str], ...] = (
    ("right", "Thank you for calling Swift Parcels, this is Mia. How can I help?"),
    ("left", "Hi. The lamp you delivered on Friday arrived broken."),
    ("right", "Oh no, I'm sorry. Was the box damaged?"),
    ("left", "Yes, the driver dropped it because it was raining."),
    ("right", "I'll send you a new lamp tomorrow and refund the postage."),
    ("left", "That's wonderful, thank you so much. You've been very helpful."),
    ("right", "My pleasure. Have a nice day."),
)
WORDS = ("hello", "the", "lamp", "broke.", "I'll", "send", "Another", "one!", "okay?", "refund")
TEXT = st.text(max_size=40) | st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
CALLS = st.lists(st.tuples(st.sampled_from(["left", "right"]), TEXT), max_size=15)
PRINT_SUMMARY = """
import tests.unit.test_extractive as t
print(ascii(t.summary_of(*t.CALL)))
"""


def transcript_of(*spoken: tuple[Channel, str]) -> Transcript:
    segments = tuple(
        SpokenSegment(
            id=f"s{place}",
            speaker=speaker,
            start_time=place * 4.0,
            end_time=place * 4.0 + 3,
            text=text,
            confidence=0.8,
        )
        for place, (speaker, text) in enumerate(spoken, start=1)
    )
    engine = Engine(name="none", revision="1", digest="")
    return Transcript(recording=UUID(int=7), run=1, digest="", engine=engine, segments=segments)


def summary_of(
    *spoken: tuple[Channel, str], roles: dict[Channel, str] | None = None
) -> SummaryContent:
    summarizer: Summarizer = ExtractiveSummarizer()
    request = Request(roles=roles or {})
    return asyncio.run(summarizer.summarize(transcript_of(*spoken), request)).content


def content(text: str, *key_points: str) -> SummaryContent:
    return SummaryContent(
        text=text, key_points=key_points, sentiment="neutral", sentiment_score=0.0
    )


def test_an_empty_transcript_has_an_empty_neutral_summary() -> None:
    assert summary_of() == content("")


def test_the_text_quotes_both_speakers_in_spoken_order() -> None:
    assert summary_of(*CALL).text == (
        'Left: "The lamp you delivered on Friday arrived broken." '
        'Left: "Yes, the driver dropped it because it was raining." '
        'Right: "I\'ll send you a new lamp tomorrow and refund the postage."'
    )


def test_roles_name_the_speakers_where_the_request_gives_them() -> None:
    text = summary_of(*CALL, roles={"left": "customer", "right": " "}).text
    assert text.startswith('Customer: "The lamp')
    assert "Right: \"I'll send" in text
    assert "Left:" not in text


def test_key_points_tell_problem_cause_and_remedy() -> None:
    assert summary_of(*CALL).key_points == (
        "The lamp you delivered on Friday arrived broken.",
        "Yes, the driver dropped it because it was raining.",
        "I'll send you a new lamp tomorrow and refund the postage.",
    )


def test_a_call_that_ends_well_is_positive() -> None:
    summary = summary_of(*CALL)
    assert summary.sentiment == "positive"
    assert 0.05 <= summary.sentiment_score <= 1


def test_a_single_utterance_is_text_and_key_point() -> None:
    summary = summary_of(("right", "is anybody there"))
    assert summary == content('Right: "is anybody there"', "is anybody there")


@given(CALLS)
def test_text_and_key_points_are_there_as_soon_as_anything_was_said(
    call: list[tuple[Channel, str]],
) -> None:
    summary = summary_of(*call)
    anything = any(text.strip() for _, text in call)
    assert bool(summary.text) == bool(summary.key_points) == anything


@given(CALLS)
def test_the_text_holds_nothing_but_attributed_sentences(call: list[tuple[Channel, str]]) -> None:
    quotes = {
        f'{speaker.capitalize()}: "{sentence}"'
        for speaker, text in call
        for sentence in split_sentences(text)
    }
    rest = summary_of(*call).text
    for quote in sorted(quotes, key=len, reverse=True):
        rest = rest.replace(quote, "")
    assert not rest.strip()


@given(CALLS)
def test_no_word_is_invented(call: list[tuple[Channel, str]]) -> None:
    summary = summary_of(*call)
    said = {word for _, text in call for word in spoken_words(text)}
    told = {word for part in (summary.text, *summary.key_points) for word in spoken_words(part)}
    assert told <= said | {"left", "right"}


def test_the_hash_seed_changes_nothing() -> None:
    told = subprocess.run(
        [sys.executable, "-c", PRINT_SUMMARY],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert told == f"{summary_of(*CALL)!a}\n"


def test_the_engine_names_its_version_and_its_lexicon() -> None:
    engine = ExtractiveSummarizer().engine
    assert engine.name == "extractive"
    assert engine.revision.endswith(f"+vader.{lexicon_version()}")
    assert engine.digest == lexicon_digest()
