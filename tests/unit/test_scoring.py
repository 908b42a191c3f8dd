from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.base import Channel
from infra.evaluation.truth import BrokenTruth, Truth, Turn, load_truth, reference_text
from infra.evaluation.word_errors import (
    ApiSegment,
    ApiWord,
    WordErrors,
    common_word_count,
    normalised_words,
    total,
    turn_order_errors,
    word_error_rate,
    word_errors,
)

CALLS = Path(__file__).parent.parent / "calls"
SUPPORT = load_truth(CALLS / "support.truth.json")
UNSEEN = load_truth(CALLS / "unseen.truth.json")

CALL = Truth(
    duration=10.0,
    turns=(
        Turn(speaker="left", start_time=1.0, end_time=3.0, text="Good morning, who is this?"),
        Turn(speaker="right", start_time=3.5, end_time=6.0, text="It's me."),
        Turn(speaker="left", start_time=5.5, end_time=9.0, text="Oh, of course!"),
    ),
)

a_call = st.sampled_from([CALL, SUPPORT, UNSEEN])


def segment(speaker: str, start: float, end: float, text: str = "") -> ApiSegment:
    return {"speaker": speaker, "start_time": start, "end_time": end, "text": text}


def heard(turn: Turn) -> ApiSegment:
    return segment(turn.speaker, turn.start_time, turn.end_time, turn.text)


def perfect(truth: Truth) -> list[ApiSegment]:
    return [heard(turn) for turn in truth.turns]


def halved(turn: Turn) -> list[ApiSegment]:
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
    assert normalised_words("Don’t 'shout', twenty-five!  ") == "don't shout twenty five"  # noqa: RUF001


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalised_words(normalised_words(text)) == normalised_words(text)


@given(a_call)
def test_what_was_said_has_no_errors(truth: Truth) -> None:
    assert word_error_rate(truth, perfect(truth)) == 0
    assert turn_order_errors(truth, perfect(truth)) == []


@given(st.permutations(perfect(SUPPORT)))
def test_word_errors_do_not_depend_on_the_order_of_the_segments(segments: list[ApiSegment]) -> None:
    assert word_error_rate(SUPPORT, segments) == 0


def test_hearing_nothing_is_every_word_wrong() -> None:
    assert word_error_rate(CALL, []) == 1


@pytest.mark.parametrize(("speaker", "rate"), [("left", 1 / 8), ("right", 0.0), (None, 1 / 10)])
def test_a_wrong_word_counts_on_its_channel_and_in_both(
    speaker: Channel | None, rate: float
) -> None:
    segments = perfect(CALL)
    segments[2]["text"] = "oh off course"
    assert word_error_rate(CALL, segments, speaker) == pytest.approx(rate)


def test_a_turn_on_the_wrong_channel_is_deleted_here_and_inserted_there() -> None:
    segments = perfect(CALL)
    segments[2]["speaker"] = "right"
    assert word_error_rate(CALL, segments) == pytest.approx(6 / 10)


def test_errors_are_told_by_their_kind() -> None:
    segments = perfect(CALL)
    segments[0]["text"] = "good evening who this"
    segments[2]["text"] = "oh of course please"
    assert word_errors(CALL, segments, "left") == WordErrors(
        words=8, substituted=1, deleted=1, inserted=1
    )


def test_the_rate_of_several_is_all_their_errors_over_all_their_words() -> None:
    together = total(
        [WordErrors(words=9, deleted=1), WordErrors(words=1, inserted=1, wrong_channel_words=1)]
    )
    assert together == WordErrors(words=10, deleted=1, inserted=1, wrong_channel_words=1)
    assert together.rate == pytest.approx(0.2)
    assert total([]) == WordErrors()


def test_where_nothing_was_said_there_is_no_rate() -> None:
    silent = Truth(duration=1.0, turns=())
    assert word_errors(silent, [segment("left", 0.1, 0.5, "oh")], "left").inserted == 1
    assert WordErrors(inserted=1).rate is None
    with pytest.raises(ValueError, match="No word was spoken"):
        word_error_rate(silent, [])


def wrong_channel_words(truth: Truth, segments: list[ApiSegment]) -> tuple[int, int]:
    left, right = word_errors(truth, segments, "left"), word_errors(truth, segments, "right")
    return left.wrong_channel_words, right.wrong_channel_words


@given(a_call)
def test_no_word_of_what_was_said_has_strayed(truth: Truth) -> None:
    assert wrong_channel_words(truth, perfect(truth)) == (0, 0)


@given(a_call, st.integers(min_value=0))
def test_every_word_of_an_echoed_turn_has_strayed(truth: Truth, index: int) -> None:
    turn = truth.turns[index % len(truth.turns)]
    echo = heard(turn)
    echo["speaker"] = "left" if turn.speaker == "right" else "right"
    words = len(normalised_words(turn.text).split())
    found = wrong_channel_words(truth, [*perfect(truth), echo])
    assert found == ((words, 0) if echo["speaker"] == "left" else (0, words))


def test_a_word_on_the_wrong_channel_has_strayed_there() -> None:
    segments = perfect(CALL)
    segments[1] = segment("left", 3.5, 6.0, "It's me.")
    assert wrong_channel_words(CALL, segments) == (2, 0)


def test_a_word_that_the_other_says_at_another_time_has_not_strayed() -> None:
    segments = [*perfect(CALL), segment("left", 9.1, 9.5, "it's me")]
    assert wrong_channel_words(CALL, segments) == (0, 0)


def test_another_word_than_the_other_says_has_not_strayed() -> None:
    segments = [*perfect(CALL), segment("left", 3.6, 5.0, "me it's you")]
    assert wrong_channel_words(CALL, segments) == (1, 0)


def timed(word: str, start: float, end: float) -> ApiWord:
    return {"word": word, "start_time": start, "end_time": end}


def test_a_segments_words_tell_when_each_was_heard() -> None:
    long = segment("left", 3.5, 20.0, "It's me.")
    assert wrong_channel_words(CALL, [*perfect(CALL), long]) == (0, 0)
    long["words"] = [timed("It's", 3.6, 3.8), timed("me.", 3.8, 4.0)]
    assert wrong_channel_words(CALL, [*perfect(CALL), long]) == (2, 0)


some_words = st.lists(st.sampled_from("abc"), max_size=8)


@given(some_words, some_words)
def test_words_in_common_are_as_many_either_way_and_no_more_than_there_are(
    one: list[str], other: list[str]
) -> None:
    assert (
        common_word_count(one, other) == common_word_count(other, one) <= min(len(one), len(other))
    )


@given(some_words, st.sets(st.integers(min_value=0, max_value=7)))
def test_what_is_left_of_the_words_is_all_in_common(words: list[str], lost: set[int]) -> None:
    left = [word for place, word in enumerate(words) if place not in lost]
    assert common_word_count(words, left) == len(left)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Invalid JSON"),
        ('{"status": "completed"}', "duration: Field required"),
        (
            '{"duration": 2, "turns": [{"speaker": "agent"}]}',
            "turns.0.speaker: Input should be 'left' or 'right', found 'agent'",
        ),
        (CALL.model_dump_json().replace("6.0", "3.0"), "turns.1 ends before it begins"),
        (CALL.model_dump_json().replace("5.5", "3.1"), "turns.2 begins before the turn above it"),
        (CALL.model_dump_json().replace("10.0", "Infinity"), "duration: Input should be a finite"),
    ],
)
def test_a_broken_truth_says_what_was_found_and_what_is_needed(
    tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "call.json"
    path.write_text(content)
    with pytest.raises(BrokenTruth) as raised:
        load_truth(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert said in str(raised.value)
    assert "needed: duration and turns" in str(raised.value)


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
