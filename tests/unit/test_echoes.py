from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from events.base import Channel
from events.documents import Bleed, ChannelTranscript, Echo, Quality, Segment, Word
from functions.merge.echoes import without_echoes
from tests.support.conversations import conversation, segmented
from tests.support.examples import BOTH, heard, segment

LEAK = Bleed(source="left", into="right", delay=0.05, gain=-20, correlation=0.9)
seeds = st.integers(0, 2**32 - 1)


def leaking(*bleed: Bleed) -> Quality:
    return Quality(dual_mono=False, channels=(), bleed=bleed)


def cleaned(
    left: tuple[Segment, ...], right: tuple[Segment, ...], *bleed: Bleed
) -> tuple[list[str], list[str], tuple[Echo, ...]]:
    """What is left of each channel, and what was taken out."""
    sides = [heard("left", *left), heard("right", *right)]
    (one, other), echoes = without_echoes(sides, leaking(*(bleed or (LEAK,))))
    return [s.text for s in one.segments], [s.text for s in other.segments], echoes


def words_of(side: ChannelTranscript) -> list[Word]:
    return [word for one in side.segments for word in one.words]


def late(word: Word, seconds: float) -> Word:
    start, end = word.start_time + seconds, word.end_time + seconds
    return replace(word, start_time=start, end_time=end)


def echoed(seed: int, delay: float) -> tuple[list[ChannelTranscript], tuple[Word, ...]]:
    """A call whose left party can be heard on the right wherever the right one is silent.

    The right party has words of its own, so that no two are equal by chance.
    """
    call = conversation(seed, 8)
    own = [replace(word, word=f"zz{n}") for n, word in enumerate(call.words["right"])]
    leaked = tuple(
        late(word, delay)
        for word in call.words["left"]
        if all(w.end_time + 1 < word.start_time or word.end_time + 1 < w.start_time for w in own)
    )
    both = sorted((*own, *leaked), key=lambda word: word.start_time)
    return [call.side("left"), heard("right", *segmented(both, 0.2))], leaked


@given(seeds)
def test_without_a_leak_nothing_is_taken_out(seed: int) -> None:
    sides, _ = echoed(seed, 0.05)
    for quality in (None, leaking()):
        assert without_echoes(sides, quality) == (tuple(sides), ())


@given(seeds, st.floats(-0.2, 0.2))
def test_what_leaked_is_taken_out_and_what_was_said_is_kept(seed: int, wrong: float) -> None:
    sides, leaked = echoed(seed, 0.05 + wrong)
    (left, right), echoes = without_echoes(sides, leaking(LEAK))
    assert left == sides[0]
    kept = Counter(words_of(right))
    assert kept + Counter(leaked) == Counter(words_of(sides[1]))
    assert sum(len(echo.text.split()) for echo in echoes) == len(leaked)


@example(4396, [LEAK.model_copy(update={"source": "right", "into": "left"}), LEAK])
@given(seeds, st.permutations([LEAK, LEAK.model_copy(update={"source": "right", "into": "left"})]))
def test_of_a_word_on_both_channels_one_stays_even_if_both_leak(
    seed: int, bleed: list[Bleed]
) -> None:
    sides, leaked = echoed(seed, 0.0)
    cleaned, echoes = without_echoes(sides, leaking(*bleed))
    before = sum(len(words_of(side)) for side in sides)
    after = sum(len(words_of(side)) for side in cleaned)
    assert before - after == sum(len(echo.text.split()) for echo in echoes) <= len(leaked)
    kept = Counter(word.word for side in cleaned for word in words_of(side))
    assert kept >= Counter(word.word for word in words_of(sides[0]))


@given(seeds)
def test_the_order_of_the_channels_changes_nothing_but_their_order(seed: int) -> None:
    sides, _ = echoed(seed, 0.05)
    there, echoes = without_echoes(sides, leaking(LEAK))
    assert without_echoes(sides[::-1], leaking(LEAK)) == (there[::-1], echoes)


def test_a_run_of_echo_words_is_one_echo_and_leaves_the_speakers_own() -> None:
    left = segment(0, 2, "Thank you for calling.")
    right = (segment(0.1, 2.1, "thank you for calling"), segment(3, 4, "hello there"))
    assert cleaned((left,), right) == (
        ["Thank you for calling."],
        ["hello there"],
        (Echo(channel="right", start_time=0.1, end_time=2.1, text="thank you for calling"),),
    )


def test_an_echo_in_front_of_the_speakers_own_words_is_cut_off() -> None:
    right = segment(1, 4, "for calling hi there my router")
    said, kept, echoes = cleaned((segment(0, 2, "thank you for calling"),), (right,))
    assert (said, kept) == (["thank you for calling"], ["hi there my router"])
    assert [echo.text for echo in echoes] == ["for calling"]


def test_a_leak_is_heard_less_well_than_its_source() -> None:
    left, right = segment(0, 2, "thank you for calling"), segment(0, 2, "thank you for colling")
    assert cleaned((left,), (right,))[1] == []


def test_words_that_match_nothing_stay() -> None:
    left, right = segment(0, 2, "thank you for calling"), segment(0, 2, "my router is broken")
    assert cleaned((left,), (right,))[1:] == (["my router is broken"], ())


def test_an_equal_word_amid_the_speakers_own_is_no_echo() -> None:
    left, right = segment(0, 2, "thank you and goodbye"), segment(0, 2, "my router and phone")
    assert cleaned((left,), (right,))[1:] == (["my router and phone"], ())


def test_a_word_by_itself_may_be_an_echo() -> None:
    right = (segment(0, 0.5, "hello"), segment(1, 2, "my router"))
    assert cleaned((segment(0, 0.5, "Hello?"),), right)[1] == ["my router"]


@pytest.mark.parametrize("later", [0.7, 2.0])
def test_who_repeats_what_the_other_said_is_no_echo(later: float) -> None:
    left, right = segment(0, 1.2, "four seven two"), segment(later, later + 1.2, "four seven two")
    assert cleaned((left,), (right,))[1:] == (["four seven two"], ())


def test_a_leak_comes_as_late_as_was_measured() -> None:
    left, right = segment(0, 1.2, "four seven two"), segment(0.7, 1.9, "four seven two")
    assert cleaned((left,), (right,), LEAK.model_copy(update={"delay": 0.7}))[1] == []


def test_a_segment_without_words_is_an_echo_as_a_whole_or_not_at_all() -> None:
    left = segment(0, 2, "thank you for calling").model_copy(update={"words": ()})
    right = left.model_copy(update={"text": "Thank you for calling!", "start_time": 0.1})
    own = segment(5, 6, "hello there").model_copy(update={"words": ()})
    said, kept, (echo,) = cleaned((left,), (right, own))
    assert (said, kept) == (["thank you for calling"], ["hello there"])
    assert echo.text == "Thank you for calling!"


@pytest.mark.parametrize("channel", BOTH)
def test_a_leak_of_a_channel_that_is_not_there_takes_nothing_out(channel: Channel) -> None:
    sides = [heard(channel, segment())]
    assert without_echoes(sides, leaking(LEAK)) == (tuple(sides), ())


def test_what_is_left_of_a_segment_has_its_own_times_and_confidence() -> None:
    doubtful = segment(1, 4, "for calling hi there my router")
    sure = tuple(replace(word, confidence=0.9) for word in doubtful.words[2:])
    right = doubtful.model_copy(update={"words": (*doubtful.words[:2], *sure)})
    sides = [heard("left", segment(0, 2, "thank you for calling")), heard("right", right)]
    (_, cleaned), _ = without_echoes(sides, leaking(LEAK))
    (kept,) = cleaned.segments
    assert (kept.start_time, kept.end_time) == (2.0, 4.0)
    assert kept.confidence == pytest.approx(0.9)
