from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls.scoring import Segment, normalised, turn_order_errors, word_error_rate
from tests.calls.truth import Speaker, Truth, Turn, load_truth, reference_text

CALLS = Path(__file__).parent.parent / "calls"
SUPPORT = load_truth(CALLS / "support.json")
UNSEEN = load_truth(CALLS / "unseen.json")

CALL = Truth(
    duration=10.0,
    turns=(
        Turn(speaker="left", start_time=1.0, end_time=3.0, text="Good morning, who is this?"),
        Turn(speaker="right", start_time=3.5, end_time=6.0, text="It's me."),
        Turn(speaker="left", start_time=5.5, end_time=9.0, text="Oh, of course!"),
    ),
)

a_call = st.sampled_from([CALL, SUPPORT, UNSEEN])


def segment(speaker: str, start: float, end: float, text: str = "") -> Segment:
    return {"speaker": speaker, "start_time": start, "end_time": end, "text": text}


def heard(turn: Turn) -> Segment:
    return segment(turn.speaker, turn.start_time, turn.end_time, turn.text)


def perfect(truth: Truth) -> list[Segment]:
    return [heard(turn) for turn in truth.turns]


def halved(turn: Turn) -> list[Segment]:
    words = turn.text.split()
    middle = (turn.start_time + turn.end_time) / 2
    half = len(words) // 2
    return [
        segment(turn.speaker, turn.start_time, middle, " ".join(words[:half])),
        segment(turn.speaker, middle, turn.end_time, " ".join(words[half:])),
    ]


@pytest.mark.parametrize("truth", [SUPPORT, UNSEEN])
def test_a_sample_call_has_ten_turns_or_more_one_overlap_and_less_than_a_minute(
    truth: Truth,
) -> None:
    following = zip(truth.turns, truth.turns[1:], strict=False)
    overlaps = [turn for turn, after in following if after.start_time < turn.end_time]
    assert 40 <= truth.duration <= 60
    assert 10 <= len(truth.turns) <= 14
    assert len(overlaps) == 1


def test_reference_text_is_one_speakers_turns_in_order() -> None:
    assert reference_text(CALL, "left") == "Good morning, who is this? Oh, of course!"


def test_normalised_text_keeps_contractions_and_loses_case_and_punctuation() -> None:
    assert normalised("Don’t 'shout', twenty-five!  ") == "don't shout twenty five"  # noqa: RUF001


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(a_call)
def test_what_was_said_has_no_errors(truth: Truth) -> None:
    assert word_error_rate(truth, perfect(truth)) == 0
    assert turn_order_errors(truth, perfect(truth)) == []


@given(st.permutations(perfect(SUPPORT)))
def test_word_errors_do_not_depend_on_the_order_of_the_segments(segments: list[Segment]) -> None:
    assert word_error_rate(SUPPORT, segments) == 0


def test_hearing_nothing_is_every_word_wrong() -> None:
    assert word_error_rate(CALL, []) == 1


@pytest.mark.parametrize(("speaker", "rate"), [("left", 1 / 8), ("right", 0.0), (None, 1 / 10)])
def test_a_wrong_word_counts_on_its_channel_and_in_both(
    speaker: Speaker | None, rate: float
) -> None:
    segments = perfect(CALL)
    segments[2]["text"] = "oh off course"
    assert word_error_rate(CALL, segments, speaker) == pytest.approx(rate)


def test_a_turn_on_the_wrong_channel_is_deleted_here_and_inserted_there() -> None:
    segments = perfect(CALL)
    segments[2]["speaker"] = "right"
    assert word_error_rate(CALL, segments) == pytest.approx(6 / 10)


@given(a_call)
def test_a_turn_may_be_told_in_consecutive_segments(truth: Truth) -> None:
    parts = [part for turn in truth.turns for part in halved(turn)]
    parts.sort(key=lambda part: part["start_time"])
    assert turn_order_errors(truth, parts) == []


def test_segments_of_overlapping_turns_may_alternate() -> None:
    segments = [
        heard(CALL.turns[0]),
        segment("right", 3.5, 5.0),
        segment("left", 5.5, 7.0),
        segment("right", 5.7, 6.0),
        segment("left", 7.0, 9.0),
    ]
    assert turn_order_errors(CALL, segments) == []


@given(a_call, st.integers(min_value=0))
def test_a_lost_turn_is_an_error_that_quotes_it(truth: Truth, index: int) -> None:
    lost = truth.turns[index % len(truth.turns)]
    errors = turn_order_errors(truth, [heard(turn) for turn in truth.turns if turn != lost])
    assert len(errors) == 1
    assert lost.text in errors[0]


@given(a_call, st.data())
def test_two_turns_told_the_wrong_way_round_are_an_error(truth: Truth, data: st.DataObject) -> None:
    segments = perfect(truth)
    index = data.draw(st.integers(min_value=1, max_value=len(segments) - 1))
    segments[index - 1], segments[index] = segments[index], segments[index - 1]
    errors = turn_order_errors(truth, segments)
    assert any("comes after" in error for error in errors)


def test_an_overlapping_turn_told_before_the_one_it_cuts_into_is_an_error() -> None:
    segments = [heard(CALL.turns[0]), segment("left", 3.2, 9.0), heard(CALL.turns[1])]
    assert turn_order_errors(CALL, segments) == [
        'the right segment at 3.50 s "It\'s me." comes after the left segment at 3.20 s ""'
    ]


def test_a_turn_told_after_a_later_one_had_begun_is_an_error() -> None:
    late = [segment("right", 2.0, 6.0), segment("left", 2.5, 3.0), heard(CALL.turns[2])]
    assert turn_order_errors(CALL, late) == [
        'the left segment at 2.50 s "" comes after the right segment at 2.00 s ""'
    ]


@given(a_call)
def test_swapped_channels_are_errors(truth: Truth) -> None:
    segments = perfect(truth)
    for one in segments:
        one["speaker"] = "left" if one["speaker"] == "right" else "right"
    assert turn_order_errors(truth, segments) != []


def test_a_segment_over_the_other_partys_turn_is_an_error() -> None:
    segments = [segment("left", 1.0, 9.0, "all"), heard(CALL.turns[1])]
    spanned = 'the left segment at 1.00 s "all" spans the right turn at 3.50 s "It\'s me."'
    assert spanned in turn_order_errors(CALL, segments)


def test_a_segment_where_its_speaker_says_nothing_is_an_error() -> None:
    segments = [*perfect(CALL)[:1], segment("left", 4.0, 5.0, "what"), *perfect(CALL)[1:]]
    errors = turn_order_errors(CALL, segments)
    assert 'no left turn is under the left segment at 4.00 s "what"' in errors
