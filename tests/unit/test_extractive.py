"""The summarizer that only quotes."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from events.base import Channel
from events.documents import Engine, Request, SpokenSegment, Transcript
from functions.summarize.extractive.engine import ExtractiveSummarizer
from functions.summarize.extractive.sentences import split, words_of
from functions.summarize.extractive.sentiment import lexicon_digest, lexicon_version
from functions.summarize.summarizer import Gist, Summarizer

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
PRINT_GIST = """
import asyncio, tests.unit.test_extractive as t
print(ascii(asyncio.run(t.ExtractiveSummarizer().summarize(t.transcript_of(*t.CALL), t.Request()))))
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


def gist_of(*spoken: tuple[Channel, str], roles: dict[Channel, str] | None = None) -> Gist:
    summarizer: Summarizer = ExtractiveSummarizer()
    return asyncio.run(summarizer.summarize(transcript_of(*spoken), Request(roles=roles or {})))


def test_an_empty_transcript_has_an_empty_neutral_gist() -> None:
    assert gist_of() == Gist("", (), "neutral", 0.0)


def test_the_text_quotes_both_speakers_in_spoken_order() -> None:
    assert gist_of(*CALL).text == (
        'Left: "The lamp you delivered on Friday arrived broken." '
        'Left: "Yes, the driver dropped it because it was raining." '
        'Right: "I\'ll send you a new lamp tomorrow and refund the postage."'
    )


def test_roles_name_the_speakers_where_the_request_gives_them() -> None:
    text = gist_of(*CALL, roles={"left": "customer", "right": " "}).text
    assert text.startswith('Customer: "The lamp')
    assert "Right: \"I'll send" in text
    assert "Left:" not in text


def test_key_points_tell_problem_cause_and_remedy() -> None:
    assert gist_of(*CALL).key_points == (
        "The lamp you delivered on Friday arrived broken.",
        "Yes, the driver dropped it because it was raining.",
        "I'll send you a new lamp tomorrow and refund the postage.",
    )


def test_a_call_that_ends_well_is_positive() -> None:
    gist = gist_of(*CALL)
    assert gist.sentiment == "positive"
    assert 0.05 <= gist.sentiment_score <= 1


def test_a_single_utterance_is_text_and_key_point() -> None:
    gist = gist_of(("right", "is anybody there"))
    assert gist == Gist('Right: "is anybody there"', ("is anybody there",), "neutral", 0.0)


@settings(deadline=None, max_examples=40)
@given(CALLS)
def test_text_and_key_points_are_there_as_soon_as_anything_was_said(
    call: list[tuple[Channel, str]],
) -> None:
    gist = gist_of(*call)
    anything = any(text.strip() for _, text in call)
    assert bool(gist.text) == bool(gist.key_points) == anything


@settings(deadline=None, max_examples=40)
@given(CALLS)
def test_the_text_holds_nothing_but_attributed_sentences(call: list[tuple[Channel, str]]) -> None:
    quotes = {
        f'{speaker.capitalize()}: "{sentence}"'
        for speaker, text in call
        for sentence in split(text)
    }
    rest = gist_of(*call).text
    for quote in sorted(quotes, key=len, reverse=True):
        rest = rest.replace(quote, "")
    assert not rest.strip()


@settings(deadline=None, max_examples=40)
@given(CALLS)
def test_no_word_is_invented(call: list[tuple[Channel, str]]) -> None:
    gist = gist_of(*call)
    said = {word for _, text in call for word in words_of(text)}
    told = {word for part in (gist.text, *gist.key_points) for word in words_of(part)}
    assert told <= said | {"left", "right"}


def test_the_hash_seed_changes_nothing() -> None:
    told = subprocess.run(
        [sys.executable, "-c", PRINT_GIST],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert told == f"{gist_of(*CALL)!a}\n"


def test_the_engine_names_its_version_and_its_lexicon() -> None:
    engine = ExtractiveSummarizer().engine
    assert engine.name == "extractive"
    assert engine.revision.endswith(f"+vader.{lexicon_version()}")
    assert engine.digest == lexicon_digest()
