from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.base import Channel
from events.documents import ChannelTranscript, Segment, SpokenSegment, Word
from functions.merge.turns import LONGEST_TURN, MOST_WORDS, interleave
from infra.evaluation import word_errors
from infra.evaluation.word_errors import turn_order_errors
from tests.support.conversations import Conversation, conversation, segment_of
from tests.support.examples import BOTH, heard, segment

tenths = st.integers(0, 50).map(lambda number: number / 10)
texts = st.sampled_from(
    ["yes", "no", "hello there", "mm-hm", "", "That is all.", "Is it?", "we go on and on and on"]
)
segments = st.builds(lambda start, length, text: segment(start, start + length, text),
                     tenths, tenths, texts)  # fmt: skip
wordless = segments.map(lambda one: one.model_copy(update={"words": ()}))
seeds = st.integers(0, 2**32 - 1)


def side(channel: Channel) -> st.SearchStrategy[ChannelTranscript]:
    """A channel's segments in order of time, with or without words."""
    return st.lists(segments | wordless, max_size=8).map(
        lambda some: heard(channel, *sorted(some, key=lambda one: (one.start_time, one.end_time)))
    )


def by(channel: Channel, turns: tuple[SpokenSegment, ...]) -> list[SpokenSegment]:
    return [turn for turn in turns if turn.speaker == channel]


def said(*turns: Segment) -> list[str]:
    return sorted(word for turn in turns for word in turn.text.split())


def plain(turns: tuple[SpokenSegment, ...]) -> list[tuple[str, str]]:
    return [(turn.speaker, turn.text) for turn in turns]


def word(text: str, start: float, end: float, confidence: float = 0.5) -> Word:
    return Word(word=text, start_time=start, end_time=end, confidence=confidence)


def scored(turns: Iterable[SpokenSegment]) -> list[word_errors.ApiSegment]:
    return [
        {
            "speaker": turn.speaker,
            "start_time": turn.start_time,
            "end_time": turn.end_time,
            "text": turn.text,
        }
        for turn in turns
    ]


def told(call: Conversation, pause: float) -> tuple[SpokenSegment, ...]:
    return interleave(call.sides(pause))


@pytest.mark.parametrize("pause", [0.2, 0.5])
@pytest.mark.parametrize("punctuated", [True, False])
@given(seed=seeds)
def test_every_turn_of_a_call_is_in_true_order_with_the_right_speaker(
    seed: int, pause: float, *, punctuated: bool
) -> None:
    call = conversation(seed, punctuated=punctuated)
    turns = [one for one in told(call, pause) if not one.backchannel]
    assert turn_order_errors(call.truth, scored(turns)) == []


@pytest.mark.parametrize("punctuated", [True, False])
@given(seed=seeds)
def test_signs_of_listening_are_told_from_turns(seed: int, *, punctuated: bool) -> None:
    call = conversation(seed, punctuated=punctuated)
    found = [(turn.speaker, turn.text) for turn in told(call, 0.2) if turn.backchannel]
    assert Counter(found) == Counter((one.speaker, one.text) for one in call.backchannels)


@given(side("left"), side("right"))
def test_turns_are_in_order_of_time(left: ChannelTranscript, right: ChannelTranscript) -> None:
    places = [(t.start_time, t.end_time, t.speaker) for t in interleave([left, right])]
    assert places == sorted(places)


@given(side("left"), side("right"))
def test_no_word_is_lost_doubled_or_said_by_the_other(
    left: ChannelTranscript, right: ChannelTranscript
) -> None:
    turns = interleave([left, right])
    for channel in (left, right):
        words = Counter(w for one in channel.segments for w in one.words)
        assert Counter(w for turn in by(channel.channel, turns) for w in turn.words) == words
        assert said(*by(channel.channel, turns)) == said(*channel.segments)


@given(seeds)
def test_a_speakers_own_words_stay_in_their_order(seed: int) -> None:
    call = conversation(seed, 6)
    turns = told(call, 0.2)
    for channel in BOTH:
        words = sorted(
            (w for turn in by(channel, turns) for w in turn.words), key=lambda w: w.start_time
        )
        assert tuple(words) == call.words[channel]
        for turn in by(channel, turns):
            assert turn.text == " ".join(one.word for one in turn.words)
            assert turn.start_time == turn.words[0].start_time
            assert turn.end_time == turn.words[-1].end_time


@given(side("left"), side("right"))
def test_the_order_in_which_channels_arrive_changes_nothing(
    left: ChannelTranscript, right: ChannelTranscript
) -> None:
    assert interleave([left, right]) == interleave([right, left])


@given(seeds)
def test_the_segments_a_channel_comes_in_change_no_words_of_a_turn(seed: int) -> None:
    call = conversation(seed, 6)
    assert told(call, 0.3) == told(call, 0.5)


@given(side("left"), side("right"))
def test_turns_are_numbered_from_one(left: ChannelTranscript, right: ChannelTranscript) -> None:
    turns = interleave([left, right])
    assert [turn.id for turn in turns] == [f"s{number + 1}" for number in range(len(turns))]


@given(side("left"), side("right"))
def test_segments_name_those_of_the_other_speaker_at_the_same_time(
    left: ChannelTranscript, right: ChannelTranscript
) -> None:
    turns = interleave([left, right])
    for turn in turns:
        beside = [
            one.id
            for one in turns
            if one.speaker != turn.speaker
            and min(one.end_time, turn.end_time) > max(one.start_time, turn.start_time)
        ]
        assert list(turn.overlaps) == beside


def test_of_two_that_start_together_the_shorter_comes_first_then_the_left() -> None:
    left = heard("left", segment(1, 2, "left"), segment(4, 6, "left long"))
    right = heard("right", segment(1, 2, "right"), segment(4, 5.5, "right short"))
    texts = [turn.text for turn in interleave([right, left])]
    assert texts == ["left", "right", "right short", "left long"]


def test_silent_channels_have_no_turns() -> None:
    assert interleave([heard("left"), heard("right")]) == ()


def test_a_segment_that_an_engine_heard_across_the_others_turn_is_cut_there() -> None:
    left = heard(
        "left",
        segment_of([word("so", 0, 0.3), word("it's", 0.3, 0.6), word("gone", 3, 3.4)]),
    )
    right = heard("right", segment(1, 2.5, "that is not what they said"))
    assert plain(interleave([left, right])) == [
        ("left", "so it's"),
        ("right", "that is not what they said"),
        ("left", "gone"),
    ]


@pytest.mark.parametrize(
    ("first", "pause", "count"),
    [
        ("we were", 0.9, 1),
        ("we were", 1.1, 2),
        ("We were.", 0.4, 1),
        ("We were.", 0.6, 2),
        ("we were...", 0.9, 1),
    ],
)
def test_words_run_on_after_a_short_pause_a_shorter_one_after_a_sentence(
    first: str, pause: float, count: int
) -> None:
    left = heard("left", segment(0, 1, first), segment(1 + pause, 2 + pause, "at home."))
    assert len(interleave([left, heard("right")])) == count


def test_without_punctuation_half_a_second_ends_a_segment() -> None:
    left = heard("left", segment(0, 1, "we were"), segment(1.6, 2.6, "at home"))
    assert len(interleave([left, heard("right")])) == 2


@pytest.mark.parametrize("text", ["mm-hm", "okay", "i see", "oh no"])
def test_a_sign_of_listening_does_not_cut_the_sentence_it_is_in(text: str) -> None:
    left = heard("left", segment(0, 2, "so i took the"), segment(2.3, 4, "router to my sister"))
    right = heard("right", segment(1.9, 2.3, text))
    first, second = interleave([left, right])
    assert (first.text, first.backchannel) == ("so i took the router to my sister", False)
    assert (second.text, second.backchannel) == (text, True)
    assert (first.overlaps, second.overlaps) == (("s2",), ("s1",))


def test_who_waits_for_a_sign_of_listening_goes_on_with_the_same_sentence() -> None:
    left = heard("left", segment(0, 2, "so i took the"), segment(2.8, 4, "router to my sister"))
    right = heard("right", segment(2.2, 2.6, "mm-hm"))
    assert [turn.backchannel for turn in interleave([left, right])] == [False, True]


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ("is it on", "yes", 2.9),
        ("Is it on?", "Yes.", 2.4),
        ("and your name", "david", 2.9),
        ("it is on", "no it is not on", 2.4),
    ],
)
def test_an_answer_is_a_turn_however_short(before: str, text: str, after: float) -> None:
    left = heard("left", segment(0, 2, before), segment(after, after + 2, "thank you very much"))
    right = heard("right", segment(2.1, 2.4, text))
    turns = interleave([left, right])
    assert [turn.text for turn in turns] == [before, text, "thank you very much"]
    assert not any(turn.backchannel for turn in turns)


def test_what_begins_a_speakers_turn_is_no_sign_of_listening() -> None:
    left = heard("left", segment(0, 3, "so i took the router home"))
    right = heard("right", segment(1.8, 2.1, "yeah"), segment(2.3, 4, "but that is my router"))
    (second,) = by("right", interleave([left, right]))
    assert (second.text, second.backchannel) == ("yeah but that is my router", False)


def test_where_both_talk_each_ones_words_stay_together() -> None:
    left = heard("left", segment(0, 5, "no listen i have told you three times by now"))
    right = heard("right", segment(3, 8, "you have told me nothing at all since may"))
    first, second = interleave([left, right])
    assert plain((first, second)) == [
        ("left", "no listen i have told you three times by now"),
        ("right", "you have told me nothing at all since may"),
    ]
    assert (first.overlaps, second.overlaps) == (("s2",), ("s1",))


@given(st.integers(1, 5), st.sampled_from(["", ".", "?"]))
def test_a_long_turn_comes_in_pieces_of_bounded_length(length: int, stop: str) -> None:
    text = " ".join(["on"] * length) + stop
    spoken = [segment(0.7 * number, 0.7 * number + 0.5, text) for number in range(200)]
    turns = interleave([heard("left", *spoken), heard("right")])
    assert len(turns) > 1
    for turn in turns:
        assert turn.end_time - turn.start_time <= LONGEST_TURN
        assert len(turn.words) <= MOST_WORDS
    assert all(one.end_time <= other.start_time for one, other in pairwise(turns))


def test_a_long_turn_is_rather_cut_after_a_sentence() -> None:
    spoken = [segment(5 * n, 5 * n + 4.7, "on and on.") for n in range(9)]
    for place in (1, 3, 6):
        spoken[place] = segment(5 * place, 5 * place + 4.7, "on and")
    turns = interleave([heard("left", *spoken), heard("right")])
    assert all(turn.text.endswith(".") for turn in turns)


def test_a_segment_without_words_is_kept_as_a_whole() -> None:
    unit = segment(0, 4, "Good morning.").model_copy(update={"words": ()})
    more = segment(4.2, 6.2, "Who is it?").model_copy(update={"words": (), "confidence": 0.8})
    (turn,) = interleave([heard("left", unit, more), heard("right")])
    assert (turn.text, turn.words) == ("Good morning. Who is it?", ())
    assert turn.confidence == pytest.approx(0.6)


def test_words_of_a_language_without_spaces_are_written_without() -> None:
    left = heard(
        "left",
        segment_of([word("你", 0, 0.2), word("好", 0.2, 0.4), word("吗", 0.7, 0.9)]).model_copy(
            update={"text": "你好吗"}
        ),
        segment(1.2, 1.4, "好"),
    )
    (turn,) = interleave([left, heard("right")])
    assert turn.text == "你好吗好"


def test_a_whole_segment_keeps_the_text_that_its_engine_wrote() -> None:
    one = segment(0, 2, "five dollars").model_copy(update={"text": "$5"})
    (turn,) = interleave([heard("left", one), heard("right")])
    assert turn.text == "$5"


def test_a_joined_segment_has_its_words_confidence_and_its_sources_probabilities() -> None:
    sure = segment(0, 1, "a b c").model_copy(
        update={"mean_log_probability": -0.1, "no_speech_probability": 0.2}
    )
    unsure = segment_of([word("d", 1.2, 1.5, 0.9)]).model_copy(
        update={"mean_log_probability": -0.5, "no_speech_probability": 0.6}
    )
    (turn,) = interleave([heard("left", sure, unsure), heard("right")])
    assert turn.confidence == pytest.approx(0.6)
    assert turn.mean_log_probability == pytest.approx(-0.2)
    assert turn.no_speech_probability == 0.6


def test_probabilities_that_no_engine_gave_stay_unknown() -> None:
    (turn,) = interleave([heard("left", segment()), heard("right")])
    assert (turn.mean_log_probability, turn.no_speech_probability) == (None, None)


def test_ten_hours_of_one_second_turns_are_told_one_by_one() -> None:
    sides = [
        heard(channel, *(segment(n, n + 1, "talk") for n in range(first, 36_000, 2)))
        for first, channel in enumerate(BOTH)
    ]
    turns = interleave(sides)
    assert [turn.start_time for turn in turns] == [float(n) for n in range(36_000)]
    assert [turn.speaker for turn in turns] == [*BOTH] * 18_000
    assert not any(turn.backchannel or turn.overlaps for turn in turns)
