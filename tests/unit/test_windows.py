"""What `windows` promises, with a detector that takes the loud for speech."""

import tracemalloc
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from functions.transcribe.recognizer import Samples
from functions.transcribe.whisper.speech.gate import VAD_FRAME, Loudness
from functions.transcribe.whisper.speech.spans import (
    Detector,
    Hysteresis,
    Span,
    SpeechSettings,
    quietest,
    widest_pause,
)
from functions.transcribe.whisper.speech.windows import Window, Windower
from shared.audio.pcm import SAMPLE_RATE

PADDING = round(0.1 * SAMPLE_RATE)
OPEN = Loudness(never=-200)
"""The gate lets everything through, so that the detector alone decides."""
SHORT = SpeechSettings(longest=6, pause=0.3)
LOUD = 8_000
SOFT = 800
stories = st.lists(st.tuples(st.floats(0, 4), st.floats(0.05, 9)), max_size=12)
"""Pauses, each with the speech after it, in seconds."""
block_lengths = st.lists(st.integers(1, 90_000), max_size=30)


@dataclass
class Loud:
    """Calls a frame speech by its peak. Keeps the runs that it was given."""

    runs: list[list[NDArray[np.float32]]] = field(default_factory=list)

    def probabilities(self, frames: NDArray[np.float32], *, afresh: bool) -> NDArray[np.float32]:
        if afresh:
            self.runs.append([])
        self.runs[-1].append(frames)
        likely: NDArray[np.float32] = np.abs(frames).max(axis=1) / np.float32(0.2)
        return likely.clip(0, 1)


class Deaf:
    """Must not be asked."""

    def probabilities(self, frames: NDArray[np.float32], *, afresh: bool) -> NDArray[np.float32]:
        raise AssertionError((len(frames), afresh))


def sound(seconds: float, peak: int) -> Samples:
    """Noise that reaches the peak in every frame."""
    length = round(seconds * SAMPLE_RATE)
    drawn = np.random.default_rng(length).integers(-peak, peak + 1, length)
    drawn[::64] = peak
    return drawn.astype(np.int16)


def told(story: list[tuple[float, float]], tail: float = 0.5) -> Samples:
    parts = [part for gap, talk in story for part in (sound(gap, 3), sound(talk, LOUD))]
    return np.concatenate([*parts, sound(tail, 3)])


def windows(
    samples: Samples,
    speech: SpeechSettings | None = None,
    *,
    detector: Detector | None = None,
    lengths: list[int] | None = None,
) -> list[Window]:
    windower = Windower(detector or Loud(), speech, OPEN)
    blocks = np.split(samples, [at for at in np.cumsum(lengths or []) if at < len(samples)])
    return [found for block in blocks for found in windower.feed(block)] + windower.end()


def plain(found: list[Window]) -> list[tuple[tuple[Span, ...], bytes]]:
    return [(window.spans, window.samples.tobytes()) for window in found]


def spans(found: list[Window]) -> list[Span]:
    return [span for window in found for span in window.spans]


def held(found: list[Window], length: int) -> NDArray[np.int64]:
    """How often each sample is in a span."""
    times = np.zeros(length, np.int64)
    for span in spans(found):
        times[span.start : span.end] += 1
    return times


@given(stories, block_lengths)
def test_the_blocks_do_not_change_the_windows(
    story: list[tuple[float, float]], lengths: list[int]
) -> None:
    samples = told(story)
    assert plain(windows(samples, lengths=lengths)) == plain(windows(samples))


def test_blocks_of_a_few_samples_give_the_same_windows() -> None:
    samples = told([(1, 20), (0.5, 20)])
    few = [7] * (len(samples) // 7)
    assert plain(windows(samples, lengths=few)) == plain(windows(samples))


@given(stories, st.sampled_from([SHORT, SpeechSettings()]))
def test_no_frame_of_speech_is_lost_or_heard_twice(
    story: list[tuple[float, float]], speech: SpeechSettings
) -> None:
    samples = told(story)
    times = held(windows(samples, speech), len(samples))
    frames = np.resize(np.abs(samples), -(-len(samples) // VAD_FRAME) * VAD_FRAME)
    frames[len(samples) :] = 0
    is_speech = np.repeat(frames.reshape(-1, VAD_FRAME).max(axis=1) >= SOFT, VAD_FRAME)[
        : len(samples)
    ]
    assert (times[is_speech] == 1).all()
    assert times.max(initial=0) <= 1


@given(stories, st.sampled_from([SHORT, SpeechSettings()]))
def test_windows_hold_spans_in_order_and_no_more_than_the_longest(
    story: list[tuple[float, float]], speech: SpeechSettings
) -> None:
    samples = told(story)
    found = windows(samples, speech)
    assert all(before.end <= after.start for before, after in pairwise(spans(found)))
    for window in found:
        assert 0 < window.seconds <= speech.longest
        own = [samples[span.start : span.end] for span in window.spans]
        assert np.array_equal(window.samples, np.concatenate(own))


SAMPLE_IN_A_NEW_FRAME = [
    (0.0, 1.5979067953731203),
    (0.0, 1.361776678495127),
    (1.713515017554144, 1.506665559085989),
    (1.901792584241143, 1.5350007972125397),
    (1.4261044497629065, 1.416605698116224),
    (3.03, 1.1826150562335833),
]
"""Speech that ends with one sample, softer than speech, in a frame of its own."""


@given(stories)
@example(SAMPLE_IN_A_NEW_FRAME)
def test_a_span_that_is_not_cut_is_padded_on_both_sides(story: list[tuple[float, float]]) -> None:
    samples = told(story)
    found = spans(windows(samples))
    touching = {one.end for one in found} & {one.start for one in found}
    for span in found:
        speech = np.flatnonzero(np.abs(samples[span.start : span.end]) >= LOUD)
        if span.start not in {0, *touching}:
            assert speech[0] >= PADDING
        if span.end not in {len(samples), *touching}:
            assert len(span) - 1 - speech[-1] >= PADDING


@given(stories, st.sampled_from([SHORT, SpeechSettings()]))
def test_only_the_end_of_a_window_cuts_a_span(
    story: list[tuple[float, float]], speech: SpeechSettings
) -> None:
    found = windows(told(story), speech)
    for window in found:
        assert all(one.end < other.start for one, other in pairwise(window.spans))


@given(stories.filter(bool), st.data())
def test_what_is_heard_in_a_window_is_placed_in_one_of_its_spans(
    story: list[tuple[float, float]], data: st.DataObject
) -> None:
    window = data.draw(st.sampled_from(windows(told(story))))
    start = data.draw(st.floats(-1, 31))
    end = data.draw(st.floats(start, 32))
    placed = window.place(start, end)
    span = window.spans[placed.span]
    assert span.start / SAMPLE_RATE <= placed.start <= placed.end <= span.end / SAMPLE_RATE


@given(stories.filter(bool), st.data())
def test_a_sample_of_a_window_is_placed_where_it_was_recorded(
    story: list[tuple[float, float]], data: st.DataObject
) -> None:
    samples = told(story)
    window = data.draw(st.sampled_from(windows(samples)))
    index = data.draw(st.integers(0, len(window.samples) - 1))
    placed = window.place(index / SAMPLE_RATE, (index + 1) / SAMPLE_RATE)
    assert window.samples[index] == samples[round(placed.start * SAMPLE_RATE)]
    assert placed.end - placed.start == pytest.approx(1 / SAMPLE_RATE)


def test_a_word_over_a_seam_goes_to_the_span_that_it_shares_more_time_with() -> None:
    spoken = (Span(16_000, 32_000), Span(160_000, 176_000))
    window = Window(spoken, np.zeros(32_000, np.int16))
    assert window.place(0.9, 1.3) == window.place(1.0, 1.3)
    assert window.place(0.9, 1.3).span == 1
    assert window.place(0.9, 1.3).start == 10.0
    assert window.place(0.5, 1.2).end == 2.0
    assert window.place(1.5, 1.5).start == 10.5
    assert window.place(2.5, 2.9) == window.place(2.0, 2.0)


def test_a_word_never_lies_before_the_span_of_the_word_before() -> None:
    window = Window((Span(16_000, 32_000), Span(160_000, 176_000)), np.zeros(32_000, np.int16))
    assert window.place(0.2, 0.6).span == 0
    assert window.place(0.2, 0.6, since=1) == window.place(1.0, 1.0, since=1)
    assert window.place(0.2, 0.6, since=1).start == 10.0


@given(stories.filter(bool), st.data())
def test_what_is_within_parts_of_a_window_is_their_samples_at_their_place(
    story: list[tuple[float, float]], data: st.DataObject
) -> None:
    samples = told(story)
    window = data.draw(st.sampled_from(windows(samples)))
    edges = data.draw(st.lists(st.floats(0, window.seconds), min_size=2, max_size=6, unique=True))
    parts = list(zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False))
    found = window.within(parts)
    assert found.seconds == pytest.approx(sum(end - start for start, end in parts), abs=1e-3)
    cut = [[round(edge * SAMPLE_RATE) for edge in part] for part in parts]
    expected = [window.samples[first:last] for first, last in cut]
    assert np.array_equal(found.samples, np.concatenate(expected))
    own = [samples[span.start : span.end] for span in found.spans]
    assert np.array_equal(found.samples, np.concatenate([*own, samples[:0]]))
    assert all(
        any(whole.start <= span.start < span.end <= whole.end for whole in window.spans)
        for span in found.spans
    )


def test_all_of_a_window_is_within_its_edges() -> None:
    (window,) = windows(told([(1, 2), (3, 2)]))
    assert plain([window.within([(0, window.seconds)])]) == plain([window])
    assert plain([window.within(window.edges.T.tolist())]) == plain([window])


def test_spans_far_apart_share_a_window() -> None:
    (window,) = windows(told([(1, 2), (100, 3), (60, 4)]))
    assert len(window.spans) == 3
    assert window.seconds == pytest.approx(9.6, abs=0.2)


def test_a_window_is_given_as_soon_as_it_is_full() -> None:
    windower = Windower(Loud(), None, OPEN)
    given = windower.feed(told([(1, 8)] * 4, tail=40))
    assert [len(window.spans) for window in given] == [3]
    assert [len(window.spans) for window in windower.end()] == [1]


def test_a_span_that_does_not_fit_is_cut_in_its_widest_silence() -> None:
    samples = told([(1, 26), (1, 1.5), (0.25, 1.5), (0.15, 3)])
    first, second = windows(samples)
    at = first.spans[-1].end
    assert at == second.spans[0].start
    assert np.abs(samples[at - VAD_FRAME : at + VAD_FRAME]).max() < SOFT
    assert at / SAMPLE_RATE == pytest.approx(29.625, abs=0.05)


def test_a_span_without_silence_goes_to_the_next_window_as_a_whole() -> None:
    first, second = windows(told([(1, 25), (1, 8)]))
    assert first.seconds == pytest.approx(25.2, abs=0.1)
    assert second.seconds == pytest.approx(8.2, abs=0.1)


def test_long_speech_without_silence_is_cut_where_it_is_quietest() -> None:
    soft = sound(0.2, 4_000)
    samples = np.concatenate((told([(1, 24)], 0), soft, told([(0, 40)])))
    first, second, *_ = windows(samples)
    at = first.spans[0].end
    assert at == second.spans[0].start
    assert 25 <= at / SAMPLE_RATE <= 25.2
    assert sum(map(len, spans(windows(samples)))) >= 64 * SAMPLE_RATE


@pytest.mark.parametrize(("gap", "count"), [(0.2, 1), (0.5, 2)])
def test_only_a_pause_ends_a_span(gap: float, count: int) -> None:
    assert len(spans(windows(told([(1, 1), (gap, 1)])))) == count


def test_speech_at_both_ends_of_the_channel_is_kept() -> None:
    samples = told([(0, 0.3), (2, 0.305)], tail=0)
    first, last = spans(windows(samples))
    assert first.start == 0
    assert last.end == len(samples)


@pytest.mark.parametrize("seconds", [0, 0.001, 5, 100])
def test_digital_silence_costs_no_detection(seconds: float) -> None:
    silent = np.zeros(round(seconds * SAMPLE_RATE), np.int16)
    windower = Windower(Deaf())
    assert [*windower.feed(silent), *windower.end()] == []


def test_the_detector_hears_what_the_gate_lets_through_in_uninterrupted_runs() -> None:
    parts = [np.zeros(VAD_FRAME * 100, np.int16), sound(VAD_FRAME * 2_500 / SAMPLE_RATE, LOUD)]
    detector = Loud()
    windower = Windower(detector)
    windower.feed(np.concatenate([*parts, *parts, parts[0]]))
    windower.end()
    around = Loudness().around
    assert [len(np.concatenate(run)) for run in detector.runs] == [2_500 + 2 * around] * 2
    assert [len(run) for run in detector.runs] == [3, 4]


def test_memory_does_not_grow_with_the_channel() -> None:
    block = told([(2, 3), (1, 2), (2, 0.5)])
    windower = Windower(Loud(runs=Forgetful()))
    tracemalloc.start()
    try:
        seconds = sum(window.seconds for _ in range(120) for window in windower.feed(block))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds > 10 * 60
    assert peak < 24 * 2**20


class Forgetful(list[list[NDArray[np.float32]]]):
    """Keeps nothing."""

    def __getitem__(self, index: object) -> list[NDArray[np.float32]]:  # type: ignore[override]
        return []


@given(st.lists(st.sampled_from([0.0, 0.2, 0.34, 0.4, 0.49, 0.5, 1.0]), max_size=60), st.data())
def test_speech_goes_on_until_it_is_unlikely(likely: list[float], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(likely)))
    hysteresis, probabilities = Hysteresis(SpeechSettings()), np.array(likely, np.float32)
    found = [*hysteresis.spoken(probabilities[:at]), *hysteresis.spoken(probabilities[at:])]
    expected, speaking = [], False
    for probability in likely:
        speaking = probability >= 0.5 or (speaking and probability >= 0.35)
        expected.append(speaking)
    assert found == expected


def test_of_equal_silences_the_last_is_the_widest() -> None:
    flags = np.array([0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0], np.bool_)
    assert widest_pause(flags, 2) == 6
    assert widest_pause(flags, 3) is None
    assert widest_pause(flags[:4], 1) is None


def test_the_quietest_place_is_quiet_around() -> None:
    assert quietest(np.array([-90, -10, -10, -50, -50, -50, -10, -10], np.float32)) == 4


@pytest.mark.parametrize(
    ("pause", "release", "longest", "message"),
    [
        (0.15, 0.35, 30, "padding"),
        (0.3, 0.6, 30, "likely"),
        (0.3, 0.35, 2, "window"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    pause: float, release: float, longest: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SpeechSettings(pause=pause, release=release, longest=longest)
