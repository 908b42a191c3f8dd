"""What `utterances` promises, on made-up channels: bursts of noise over a quieter floor."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.transcribe.recognizer import Samples
from functions.transcribe.sphinx.utterances import Cutting, Utterance, UtteranceCutter
from shared.audio.pcm import PCM16_FULL_SCALE, SAMPLE_RATE

seeds = st.integers(0, 2**32 - 1)
floors = st.floats(-70, -40)
gaps = st.lists(st.floats(0, 3), min_size=1, max_size=5)


def noise(seconds: float, level: float, seed: int = 0) -> Samples:
    scale = PCM16_FULL_SCALE * 10 ** (level / 20)
    drawn = np.random.default_rng(seed).normal(0, scale, round(seconds * SAMPLE_RATE))
    return np.clip(np.round(drawn), -PCM16_FULL_SCALE, PCM16_FULL_SCALE - 1).astype(np.int16)


def bursts(gaps: list[float], floor: float, seed: int) -> tuple[Samples, list[slice]]:
    """Bursts of 0.3 s at -20 dBFS, each after a gap at the floor's level, and a gap at the end."""
    parts, places, at = [], [], 0
    for index, gap in enumerate(gaps):
        quiet, loud = noise(gap, floor, seed + index), noise(0.3, -20, seed + index)
        places.append(slice(at + len(quiet), at + len(quiet) + len(loud)))
        parts += [quiet, loud]
        at += len(quiet) + len(loud)
    return np.concatenate([*parts, noise(1, floor, seed)]), places


def cut(blocks: Iterable[Samples], cutting: Cutting | None = None) -> list[Utterance]:
    cutter = UtteranceCutter(cutting)
    return [found for block in blocks for found in cutter.push(block)] + cutter.flush()


def blocks_of(samples: Samples, lengths: list[int]) -> list[Samples]:
    return np.split(samples, [at for at in np.cumsum(lengths) if at < len(samples)])


def plain(utterances: list[Utterance]) -> list[tuple[int, bytes]]:
    return [(utterance.start, utterance.samples.tobytes()) for utterance in utterances]


@given(gaps, floors, seeds, st.lists(st.integers(0, 40_000), max_size=20))
def test_the_blocks_do_not_change_the_utterances(
    gaps: list[float], floor: float, seed: int, lengths: list[int]
) -> None:
    samples, _ = bursts(gaps, floor, seed)
    assert plain(cut(blocks_of(samples, lengths))) == plain(cut([samples]))


def test_blocks_of_a_few_samples_are_cut_like_one_block() -> None:
    samples, _ = bursts([0.4, 1.0], -60, 1)
    assert plain(cut(blocks_of(samples, [7] * (len(samples) // 7)))) == plain(cut([samples]))


@given(gaps, floors, seeds)
def test_no_loud_sample_is_lost(gaps: list[float], floor: float, seed: int) -> None:
    samples, places = bursts(gaps, floor, seed)
    held = np.zeros(len(samples), bool)
    for utterance in cut([samples]):
        held[utterance.start : utterance.start + len(utterance.samples)] = True
    assert all(held[place].all() for place in places)


@given(gaps, floors, seeds)
def test_utterances_ascend_without_overlap_and_are_the_channels_own_samples(
    gaps: list[float], floor: float, seed: int
) -> None:
    samples, _ = bursts(gaps, floor, seed)
    found = cut([samples])
    assert all(a.start + len(a.samples) <= b.start for a, b in pairwise(found))
    for utterance in found:
        end = utterance.start + len(utterance.samples)
        assert np.array_equal(utterance.samples, samples[utterance.start : end])


@given(floors, st.floats(0, 20), seeds)
def test_steady_noise_yields_nothing(floor: float, seconds: float, seed: int) -> None:
    assert cut([noise(seconds, floor, seed)]) == []


@given(floors, st.floats(1.5, 10), st.floats(1.5, 10), seeds)
def test_noise_that_begins_after_digital_silence_yields_nothing(
    floor: float, silent: float, noisy: float, seed: int
) -> None:
    silence = np.zeros(round(silent * SAMPLE_RATE), np.int16)
    assert cut([silence, noise(noisy, floor, seed)]) == []


@pytest.mark.parametrize("seconds", [0, 0.001, 5])
def test_digital_silence_yields_nothing(seconds: float) -> None:
    assert cut([np.zeros(round(seconds * SAMPLE_RATE), np.int16)]) == []


def test_rumble_and_hum_are_not_speech() -> None:
    time = np.arange(20 * SAMPLE_RATE) / SAMPLE_RATE
    hum = 1000 * np.sin(2 * np.pi * 50 * time) + 300 * np.sin(2 * np.pi * 11 * time) + 500
    assert cut([(hum + noise(20, -65)).astype(np.int16)]) == []


def test_a_click_is_not_speech() -> None:
    samples = noise(5, -60)
    samples[40_000:40_100] = 20_000
    assert cut([samples]) == []


def test_a_channel_of_very_low_level_is_heard() -> None:
    parts = [noise(1, -85), noise(0.5, -62), noise(1, -85), noise(0.5, -60), noise(1, -85)]
    assert len(cut(parts)) == 2


def test_speech_keeps_a_padding_on_both_sides() -> None:
    samples, (place,) = bursts([1.0], -60, 3)
    (utterance,) = cut([samples])
    before = place.start - utterance.start
    after = utterance.start + len(utterance.samples) - place.stop
    assert 0.1 <= before / SAMPLE_RATE <= 0.17
    assert 0.1 <= after / SAMPLE_RATE <= 0.17


def test_speech_at_both_ends_of_the_stream_is_kept() -> None:
    samples = np.concatenate((noise(0.3, -20), noise(2, -60), noise(0.305, -20)))
    first, last = cut([samples])
    assert first.start == 0
    assert last.start + len(last.samples) == len(samples)


@pytest.mark.parametrize(("gap", "count"), [(0.2, 1), (0.6, 2)])
def test_only_a_pause_cuts(gap: float, count: int) -> None:
    samples, _ = bursts([1, gap], -60, 5)
    assert len(cut([samples])) == count


def test_long_speech_is_cut_where_it_is_quietest() -> None:
    dip = noise(0.2, -35)
    samples = np.concatenate((noise(14, -20), dip, noise(10, -20), noise(1, -60)))
    first, second = cut([samples])
    assert 14 <= second.start / SAMPLE_RATE <= 14.2
    assert first.start + len(first.samples) == second.start


@given(st.floats(1, 30), seeds)
def test_no_utterance_outlasts_the_longest(seconds: float, seed: int) -> None:
    cutting = Cutting(longest=5)
    found = cut([noise(seconds, -20, seed)], cutting)
    limit = cutting.longest + cutting.pause + 2 * cutting.padding
    assert max(len(utterance.samples) for utterance in found) <= limit * SAMPLE_RATE
    assert sum(len(utterance.samples) for utterance in found) == round(seconds * SAMPLE_RATE)


def test_a_pause_shorter_than_its_paddings_is_refused() -> None:
    with pytest.raises(ValueError, match="padding"):
        Cutting(pause=0.2, padding=0.15)
