"""Which sentences of a call tell what it was about."""

import sys
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.base import Channel
from events.documents import SpokenSegment
from functions.summarize.extractive.salience import (
    FEWEST,
    MOST,
    headlines,
    in_spoken_order,
    key_points,
)
from functions.summarize.extractive.sentences import Sentence, sentences, split_sentences

WORDS = ("the", "my", "router", "modem", "okay", "hello", "broke", "because", "i'll", "not", "42")
UTTERANCE = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)
PUNCTUATED = st.lists(UTTERANCE.map(lambda text: f"{text.capitalize()}."), min_size=1, max_size=3)
SPOKEN = st.tuples(
    st.sampled_from(["left", "right"]), UTTERANCE | PUNCTUATED.map(" ".join) | st.text(max_size=20)
)
CALLS = st.lists(SPOKEN, max_size=25)


def segments_of(*spoken: tuple[Channel, str]) -> tuple[SpokenSegment, ...]:
    return tuple(
        SpokenSegment(
            id=f"s{place}",
            speaker=speaker,
            start_time=place * 3.0,
            end_time=place * 3.0 + 2,
            text=text,
            confidence=0.9,
        )
        for place, (speaker, text) in enumerate(spoken, start=1)
    )


def said_in(*texts: str) -> list[Sentence]:
    speakers: tuple[Channel, Channel] = ("right", "left")
    return sentences(segments_of(*((speakers[at % 2], text) for at, text in enumerate(texts))))


def points_of(*texts: str) -> list[str]:
    return [point.text for point in in_spoken_order(key_points(said_in(*texts)))]


@given(CALLS)
def test_every_key_point_is_a_verbatim_sentence_of_the_call(
    call: list[tuple[Channel, str]],
) -> None:
    for point in key_points(sentences(segments_of(*call))):
        assert any(
            point.text in text and speaker == point.speaker and point.text in split_sentences(text)
            for speaker, text in call
        )


@given(CALLS)
def test_there_are_two_to_five_key_points_once_two_sentences_differ(
    call: list[tuple[Channel, str]],
) -> None:
    said = sentences(segments_of(*call))
    distinct = len({sentence.essence for sentence in said})
    assert min(distinct, FEWEST) <= len(key_points(said)) <= min(distinct, MOST)


@given(CALLS)
def test_no_two_key_points_say_the_same(call: list[tuple[Channel, str]]) -> None:
    points = key_points(sentences(segments_of(*call)))
    assert len({point.essence for point in points}) == len(points)


@given(CALLS)
def test_key_points_come_in_spoken_order(call: list[tuple[Channel, str]]) -> None:
    places = [p.place for p in in_spoken_order(key_points(sentences(segments_of(*call))))]
    assert places == sorted(set(places))


@given(CALLS)
def test_the_same_call_gives_the_same_key_points(call: list[tuple[Channel, str]]) -> None:
    segments = segments_of(*call)
    assert key_points(sentences(segments)) == key_points(sentences(segments))


@given(CALLS)
def test_one_to_four_key_points_make_the_headlines(call: list[tuple[Channel, str]]) -> None:
    points = key_points(sentences(segments_of(*call)))
    chosen = headlines(points)
    assert min(1, len(points)) <= len(chosen) <= 4
    assert {point.speaker for point in chosen} == {point.speaker for point in points}


@given(st.text())
def test_splitting_loses_nothing_but_blanks(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("it broke on monday and i want a refund", ["it broke on monday and i want a refund"]),
        ("It broke. I want a refund!  Now?", ["It broke.", "I want a refund!", "Now?"]),
        (
            "Dr. Patel is free at 3.30 p.m. on Monday.",
            ["Dr. Patel is free at 3.30 p.m. on Monday."],
        ),
        ("No. At 5 p.m. You said so, etc. etc.", ["No.", "At 5 p.m.", "You said so, etc. etc."]),
        ("it costs 9.99. and the call was free.", ["it costs 9.99.", "and the call was free."]),
        ("J. Smith, e.g. me. Yes, I.", ["J. Smith, e.g. me.", "Yes, I."]),
        ("well... maybe. Hmm… Yes", ["well... maybe.", "Hmm…", "Yes"]),
        ('She said "stop it." Then she left.', ['She said "stop it."', "Then she left."]),
        ("您好。我的网络坏了！", ["您好。", "我的网络坏了！"]),  # noqa: RUF001
        ("   ", []),
    ],
)
def test_sentences_end_at_full_stops_only(text: str, pieces: list[str]) -> None:
    assert list(split_sentences(text)) == pieces


def test_segments_are_read_in_order_of_time() -> None:
    later, earlier = segments_of(("left", "first"), ("right", "second"))[::-1]
    assert [sentence.text for sentence in sentences([later, earlier])] == ["first", "second"]


def test_problem_cause_and_remedy_of_a_punctuated_call() -> None:
    assert points_of(
        "Thank you for calling Harbour Gas, this is Omar. How can I help you today?",
        "Hello Omar. My boiler stopped working last night and the house is freezing.",
        "I'm sorry to hear that. Can I have your postcode, please?",
        "It's four seven two nine.",
        "Thank you. Let me check.",
        "The pressure is too low because a valve is leaking.",
        "Okay. And when can somebody come?",
        "A technician will replace the valve tomorrow between eight and ten.",
        "Great, thank you.",
        "You're welcome. Have a lovely day.",
    ) == [
        "My boiler stopped working last night and the house is freezing.",
        "The pressure is too low because a valve is leaking.",
        "A technician will replace the valve tomorrow between eight and ten.",
    ]


def test_problem_cause_and_remedy_of_an_unpunctuated_call() -> None:
    assert points_of(
        "thank you for calling green grocer my name is tom how can i help you",
        "hi my order never arrived and the app says it was delivered",
        "oh i'm sorry may i have your order number please",
        "sure it's nine nine one two",
        "okay one moment please",
        "it looks like the driver left it at the wrong address",
        "mm-hm",
        "i will send the order again this afternoon and refund the delivery fee",
        "okay thank you very much",
        "have a nice day bye",
    ) == [
        "hi my order never arrived and the app says it was delivered",
        "it looks like the driver left it at the wrong address",
        "i will send the order again this afternoon and refund the delivery fee",
    ]


def test_a_request_without_a_problem_and_its_outcome() -> None:
    assert points_of(
        "good evening riverside hotel how may i help",
        "hello i would like to book a double room for the first weekend in june",
        "certainly let me check that for you",
        "yes we have a double room with breakfast for ninety pounds a night",
        "perfect",
        "i have booked the room and i'll send the confirmation by email",
        "lovely thanks bye",
    ) == [
        "hello i would like to book a double room for the first weekend in june",
        "yes we have a double room with breakfast for ninety pounds a night",
        "i have booked the room and i'll send the confirmation by email",
    ]


def test_greetings_are_key_points_only_where_nothing_else_was_said() -> None:
    assert points_of("hello", "hello can you hear me") == ["hello", "hello can you hear me"]
    assert points_of("hello", "my parcel is lost", "okay", "we will send another one") == [
        "my parcel is lost",
        "we will send another one",
    ]


def test_one_utterance_is_one_key_point_however_often_it_is_repeated() -> None:
    assert points_of("The modem is broken.", "the modem is broken", "The modem is broken!") == [
        "The modem is broken."
    ]


def test_a_denial_is_not_a_repetition() -> None:
    pair = ("the router is working", "the router is not working")
    assert points_of(*pair) == list(pair)


def test_the_one_who_has_a_single_key_point_is_heard() -> None:
    said = sentences(
        segments_of(
            ("left", "my washing machine leaks because the hose broke and the kitchen is flooded"),
            ("left", "your technician never came although the appointment was confirmed"),
            ("left", "the replacement hose you sent was for the wrong model and does not fit"),
            ("left", "i want a refund of the repair fee within a week or i'll cancel the contract"),
            ("right", "these notes mention a visit in march"),
            ("left", "this is the third complaint about the same error"),
            ("left", "nobody has called me since"),
        )
    )
    assert {point.speaker for point in headlines(key_points(said))} == {"left", "right"}


def test_twice_the_call_is_about_twice_the_work() -> None:
    assert work_of(2_000) < 2.5 * work_of(1_000)


def work_of(count: int) -> int:
    """Calls made while key points are chosen from that many near repetitions."""
    said = said_in(*(f"my internet is down again today {at}" for at in range(count)))
    calls = 0

    def tally(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(tally)
    try:
        key_points(said)
    finally:
        sys.setprofile(None)
    return calls
