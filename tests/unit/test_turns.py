from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from events.base import Channel
from events.documents import ChannelTranscript, Segment, SpokenSegment
from functions.merge.turns import interleave
from tests.examples import heard, segment

tenths = st.integers(0, 50).map(lambda number: number / 10)
segments = st.builds(
    lambda start, length, text: segment(start, start + length, text),
    tenths,
    tenths,
    st.sampled_from(["yes", "no", "hello there", ""]),
)


def side(channel: Channel) -> st.SearchStrategy[ChannelTranscript]:
    """A channel's segments, in order of time as a recogniser gives them."""
    return st.lists(segments, max_size=8).map(
        lambda some: heard(channel, *sorted(some, key=lambda one: (one.start_time, one.end_time)))
    )


def spoken_by(channel: Channel, turns: tuple[SpokenSegment, ...]) -> list[Segment]:
    return [Segment.model_validate(turn.model_dump()) for turn in turns if turn.speaker == channel]


@settings(max_examples=40)
@given(side("left"), side("right"))
def test_turns_are_in_order_of_time(left: ChannelTranscript, right: ChannelTranscript) -> None:
    starts = [turn.start_time for turn in interleave([left, right])]
    assert starts == sorted(starts)


@settings(max_examples=40)
@given(side("left"), side("right"))
def test_nothing_is_lost_doubled_or_said_by_the_other(
    left: ChannelTranscript, right: ChannelTranscript
) -> None:
    turns = interleave([left, right])
    assert len(turns) == len(left.segments) + len(right.segments)
    for channel in (left, right):
        said = Counter(one.model_dump_json() for one in channel.segments)
        kept = Counter(one.model_dump_json() for one in spoken_by(channel.channel, turns))
        assert kept == said


@settings(max_examples=40)
@given(side("left"), side("right"))
def test_a_speakers_own_order_is_kept(left: ChannelTranscript, right: ChannelTranscript) -> None:
    assert tuple(spoken_by("left", interleave([left, right]))) == left.segments


@settings(max_examples=40)
@given(side("left"), side("right"))
def test_the_order_in_which_channels_arrive_changes_nothing(
    left: ChannelTranscript, right: ChannelTranscript
) -> None:
    assert interleave([left, right]) == interleave([right, left])


@settings(max_examples=40)
@given(side("left"), side("right"))
def test_turns_are_numbered_from_one(left: ChannelTranscript, right: ChannelTranscript) -> None:
    turns = interleave([left, right])
    assert [turn.id for turn in turns] == [f"s{number + 1}" for number in range(len(turns))]


def test_of_two_that_start_together_the_shorter_comes_first_then_the_left() -> None:
    left = heard("left", segment(1, 2, "left"), segment(3, 4, "left long"))
    right = heard("right", segment(1, 2, "right"), segment(3, 3.5, "right short"))
    said = [turn.text for turn in interleave([right, left])]
    assert said == ["left", "right", "right short", "left long"]


def test_silent_channels_have_no_turns() -> None:
    assert interleave([heard("left"), heard("right")]) == ()
