import asyncio
import wave
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from events.base import Channel
from events.documents import Bleed
from functions.split.bleed import BLOCK
from functions.split.clipping import CEILING, NEAR_FULL_SCALE, Clipping
from functions.split.dual_mono import (
    LEAST_CORRELATION,
    MOST_BLOCKS,
    Compared,
    Comparison,
    side_by_side,
)
from functions.split.levels import QUIET_SPEECH, Meter
from functions.split.samples import MOMENT
from shared.audio.formats import mu_law
from tests.support.examples import cut, stream

Sound: TypeAlias = NDArray[np.float64]
CALLS = Path(__file__).parents[1] / "calls"
RATE = 16_000
SOUND = Compared(dual_mono=False, bleed=())
"""What is found where each channel has one speaker."""


@cache
def call(name: str = "support", seconds: int = 26) -> tuple[Sound, Sound]:
    """Both channels of a sample call's beginning on the scale of 16-bit integers."""
    with wave.open(str(CALLS / f"{name}.wav")) as file:
        frames = np.frombuffer(file.readframes(seconds * RATE), "<i2").reshape(-1, 2)
    left, right = frames.astype(np.float64).T
    return left, right


def mixed() -> Sound:
    """Both parties on one channel."""
    left, right = call()
    return left + right


def factor(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def noise(frames: int, decibels: float, seed: int) -> Sound:
    return np.random.default_rng(seed).standard_normal(frames) * 2**15 * factor(decibels)


def hum(frames: int, hertz: float, decibels: float) -> Sound:
    """A buzz of the mains: odd overtones up to the 13th."""
    at = 2 * np.pi * hertz * np.arange(frames) / RATE
    overtones = sum((np.sin(number * at) / number for number in range(1, 14, 2)), np.zeros(frames))
    return overtones * 2**15 * factor(decibels)


def later(sound: Sound, seconds: float) -> Sound:
    return np.concatenate([np.zeros(round(seconds * RATE)), sound])[: len(sound)]


def stored(sound: Sound) -> bytes:
    return np.rint(sound).clip(-(2**15), 2**15 - 1).astype("<i2").tobytes()


def compared(left: Sound, right: Sound) -> Compared:
    comparison = Comparison(len(left))
    comparison.add(stored(left), stored(right))
    return comparison.finish()


def leak(source: Channel, delay: float, gain: float, correlation: float = 1.0) -> Bleed:
    into: Channel = "left" if source == "right" else "right"
    return Bleed(source=source, into=into, delay=delay, gain=gain, correlation=correlation)


def assert_bleed(found: Compared, *expected: Bleed, correlation: float = 0.1) -> None:
    """Exactly the expected leaks; `correlation` may be so much off."""
    assert not found.dual_mono
    for one, other in zip(found.bleed, expected, strict=True):
        assert (one.source, one.into) == (other.source, other.into)
        assert one.delay == pytest.approx(other.delay, abs=0.0005)
        assert one.gain == pytest.approx(other.gain, abs=1)
        assert one.correlation == pytest.approx(other.correlation, abs=correlation)


@pytest.mark.parametrize("name", ["support", "unseen", "nano"])
def test_a_clean_call_has_one_speaker_on_each_channel(name: str) -> None:
    assert compared(*call(name, 60)) == SOUND


@pytest.mark.parametrize("delay", [0, 0.005, 0.04, 0.45])
@pytest.mark.parametrize("gain", [-20, -30])
def test_a_party_that_leaked_into_the_other_channel_is_found(gain: float, delay: float) -> None:
    left, right = call()
    found = compared(left + factor(gain) * later(right, delay), right)
    assert_bleed(found, leak("right", delay, gain))


def test_a_leak_may_be_turned_over_and_come_a_little_earlier() -> None:
    left, right = call("unseen")
    found = compared(later(left, 0.01), right - factor(-25) * left)
    assert_bleed(found, leak("left", -0.01, -25))


def test_both_parties_may_leak() -> None:
    left, right = call()
    found = compared(
        left + factor(-20) * later(right, 0.04), right + factor(-26) * later(left, 0.2)
    )
    assert_bleed(found, leak("left", 0.2, -26), leak("right", 0.04, -20))


@pytest.mark.parametrize("mains", [50, 60])
def test_a_leak_is_found_under_noise_and_hum(mains: float) -> None:
    left, right = call()
    frames = len(left)
    dirt = hum(frames, mains, -35)
    found = compared(
        left + factor(-20) * later(right, 0.04) + dirt + noise(frames, -50, 1),
        right + dirt + noise(frames, -50, 2),
    )
    assert_bleed(found, leak("right", 0.04, -20), correlation=0.2)


@pytest.mark.parametrize("loudness", [-45, -30])
def test_noise_of_its_own_on_each_channel_is_no_leak(loudness: float) -> None:
    left, right = call()
    frames = len(left)
    assert compared(left + noise(frames, loudness, 1), right + noise(frames, -45, 2)) == SOUND


@pytest.mark.parametrize("loudness", [-45, -30, -20, -10])
@pytest.mark.parametrize("mains", [50, 60])
def test_hum_on_both_channels_is_no_leak(mains: float, loudness: float) -> None:
    left, right = call()
    dirt = hum(len(left), mains, loudness)
    assert compared(left + dirt, right + 0.5 * dirt) == SOUND


@pytest.mark.parametrize("loudness", [0.1, 0.5])
def test_a_dial_tone_on_both_channels_is_no_leak(loudness: float) -> None:
    tone = 8_000 * np.sin(2 * np.pi * 440 * np.arange(30 * RATE) / RATE)
    quieter = loudness * tone + noise(len(tone), -30, 1)
    assert not compared(tone, quieter).bleed


def test_parties_who_talk_at_the_same_time_are_no_leak() -> None:
    left, right = call()
    assert compared(left + np.roll(left, 20 * RATE), right + np.roll(right, 21 * RATE)) == SOUND


def test_a_silent_channel_has_no_leak_and_is_no_copy() -> None:
    left, _ = call()
    assert compared(left, np.zeros_like(left)) == SOUND
    assert compared(np.zeros_like(left), np.zeros_like(left)) == SOUND


def test_crosstalk_that_nobody_hears_is_no_leak() -> None:
    left, right = call()
    assert compared(left + factor(-55) * right, right) == SOUND


def test_the_end_of_a_block_where_somebody_begins_to_talk_is_left_alone() -> None:
    left, right = np.zeros((2, 5 * BLOCK))
    beginning = np.arange(len(left)) % BLOCK > BLOCK - 4_000
    left[beginning] = noise(len(left), -20, 1)[beginning]
    assert compared(left, right) == compared(left, 0.01 * left) == SOUND


def test_one_likeness_is_no_leak_yet() -> None:
    left, right = (side[: 2 * BLOCK] for side in call())
    assert compared(left, right + factor(-20) * left) == SOUND


def test_a_leak_is_found_in_a_long_recording_of_which_only_a_part_is_searched() -> None:
    left, right = call(seconds=60)
    comparison = Comparison(frames=3 * BLOCK * MOST_BLOCKS)
    comparison.add(stored(left + factor(-20) * later(right, 0.04)), stored(right))
    assert_bleed(comparison.finish(), leak("right", 0.04, -20))


@pytest.mark.parametrize("gain", [1, 0.7, -1, -0.35])
def test_a_copy_is_found_whatever_its_gain_and_polarity(gain: float) -> None:
    speech = mixed()
    assert compared(speech, gain * speech) == Compared(dual_mono=True, bleed=())
    assert compared(gain * speech, speech) == Compared(dual_mono=True, bleed=())


def test_a_copy_is_found_behind_a_codec() -> None:
    speech = mixed()
    coded = (1 + noise(len(speech), -113, 1)) * speech  # noise 23 dB below, as ADPCM adds it
    assert compared(speech, coded).dual_mono
    table = np.sort([mu_law(code) for code in range(256)])
    assert compared(speech, table[np.searchsorted(table[:-1], 0.7 * speech)]).dual_mono


def test_a_channel_that_says_one_word_of_its_own_is_no_copy() -> None:
    speech, other = call()
    loudness = np.square(speech[: 12 * BLOCK].reshape(-1, BLOCK)).sum(axis=1)
    pause = BLOCK * int(loudness.argmin()) + RATE // 4
    more = speech.copy()
    more[pause : pause + RATE // 2] += 0.2 * other[other.argmax() - RATE // 4 :][: RATE // 2]
    assert np.corrcoef(speech, more)[0, 1] > LEAST_CORRELATION
    assert not compared(speech, more).dual_mono
    assert not compared(more, speech).dual_mono


@pytest.mark.parametrize(("seconds", "level"), [(0.2, -36), (0.3, -40), (1.0, -46)])
def test_a_party_that_is_quiet_and_says_little_is_no_copy(seconds: float, level: float) -> None:
    speech, other = call()
    loudness = np.square(speech[: 12 * BLOCK].reshape(-1, BLOCK)).sum(axis=1)
    pause = BLOCK * int(loudness.argmin()) + RATE // 4
    word = other[other.argmax() - RATE // 10 :][: round(seconds * RATE)]
    quiet = word * 2**15 * 10 ** (level / 20) / np.sqrt(np.square(word).mean())
    more = speech.copy()
    more[pause : pause + len(word)] += quiet
    assert not compared(speech, more).dual_mono
    assert not compared(more, speech).dual_mono


def test_a_mixture_of_both_parties_in_two_ways_is_no_copy() -> None:
    left, right = call()
    assert not compared(left + 0.7 * right, 0.7 * left + right).dual_mono


def test_a_copy_that_is_much_quieter_is_a_leak_and_tells_who_spoke() -> None:
    left, _ = call()
    assert_bleed(compared(factor(-20) * left, left), leak("right", 0, -20))


@given(st.lists(st.integers(0, 9 * BLOCK + 77), max_size=9))
def test_pieces_of_any_size_compare_the_same(at: list[int]) -> None:
    left, right = (side[: 9 * BLOCK + 77] for side in call())
    both = stored(left + factor(-20) * later(right, 0.04)), stored(right)
    comparison = Comparison(len(left))
    for pieces in zip(*(cut(side, [2 * place for place in at]) for side in both), strict=True):
        comparison.add(*pieces)
    found = comparison.finish()
    assert found.bleed
    assert found == compared(left + factor(-20) * later(right, 0.04), right)


@given(*[st.lists(st.binary(min_size=1, max_size=9), max_size=9)] * 2)
def test_the_shorter_channel_goes_on_in_silence_beside_the_longer(
    left: list[bytes], right: list[bytes]
) -> None:
    async def work() -> list[tuple[bytes, bytes]]:
        return [pieces async for pieces in side_by_side(stream(left), stream(right))]

    pairs = asyncio.run(work())
    assert all(len(one) == len(other) > 0 for one, other in pairs)
    whole = b"".join(left), b"".join(right)
    length = max(map(len, whole))
    for side, expected in enumerate(whole):
        assert b"".join(pair[side] for pair in pairs) == expected.ljust(length, b"\0")


samples_near_full_scale = st.lists(
    st.sampled_from([0.0, 31_000.0, 32_124.0, 32_767.0, 40_000.0]).flatmap(
        lambda size: st.integers(1, 5).map(lambda count: [size] * count)
    )
    | st.sampled_from([-32_768.0, -31_000.0, 29_000.0]).map(lambda size: [size] * 3),
    max_size=12,
).map(lambda runs: np.array([sample for run in runs for sample in run], np.float32))


def cut_off(samples: NDArray[np.float32]) -> int:
    """What `Clipping` counts, by its definition."""
    count = 0
    for side in (samples, -samples):
        limited = side.clip(None, CEILING).tolist()
        limit = max(limited, default=0.0)
        runs = [
            len(list(run)) for size, run in groupby(limited) if size == limit >= NEAR_FULL_SCALE
        ]
        count += sum(run for run in runs if run >= 3)
    return count


@given(samples_near_full_scale, st.lists(st.integers(0, 80), max_size=6))
def test_samples_are_cut_off_in_long_runs_at_the_limit_in_pieces_of_any_size(
    samples: NDArray[np.float32], at: list[int]
) -> None:
    clipping = Clipping()
    for piece in np.split(samples, sorted(at)):
        clipping.add(piece)
    assert clipping.share * len(samples) == pytest.approx(cut_off(samples))


@pytest.mark.parametrize("name", ["support", "unseen", "nano"])
def test_a_clean_call_is_not_clipped_and_an_overdriven_one_is(name: str) -> None:
    for side in call(name, 60):
        for gain, least, most in ((1, 0, 0), (8, 0.002, 0.2)):
            clipping = Clipping()
            clipping.add((gain * side).clip(-(2**15), 2**15 - 1).astype(np.float32))
            assert least <= clipping.share <= most


@given(
    st.lists(st.sampled_from([0, 1, -20, 40, -1_400, 2**15 - 1, -(2**15)]), max_size=40),
    st.lists(st.integers(0, 5_000), max_size=6),
)
def test_a_meter_is_exact_for_pieces_of_any_size(sizes: list[int], at: list[int]) -> None:
    samples = np.repeat(np.array(sizes, np.int16), 100)
    meter = Meter()
    for piece in np.split(samples, sorted(at)):
        meter.add(piece)
    padded = np.zeros(-(-len(samples) // MOMENT) * MOMENT)
    padded[: len(samples)] = samples
    loudness = np.sqrt(np.square(padded.reshape(-1, MOMENT)).mean(axis=1))
    assert meter.silent == (loudness.max(initial=0) < QUIET_SPEECH)
    level = meter.level("left")
    if samples.any():
        wide = samples.astype(np.float64)
        rms = 20 * np.log10(np.sqrt(np.square(wide).mean()) / 2**15)
        assert level.rms == pytest.approx(rms, abs=0.005001)
        assert level.peak == pytest.approx(20 * np.log10(np.abs(wide).max() / 2**15), abs=0.005001)
    else:
        assert (level.peak, level.rms) == (None, None)


@pytest.mark.parametrize("loudness", [-35, -50])
def test_quiet_speech_is_never_silent(loudness: float) -> None:
    meter = Meter()
    speech, _ = call()
    quiet = speech * 2**15 * factor(loudness) / np.sqrt(np.square(speech).mean())
    meter.add(np.rint(quiet).astype(np.int16))
    assert not meter.silent


def test_a_line_is_silent_whose_noise_is_below_minus_60_decibels() -> None:
    for loudness, silent in ((-58, False), (-63, True)):
        meter = Meter()
        meter.add(np.rint(noise(RATE, loudness, 1)).astype(np.int16))
        assert meter.silent == silent
