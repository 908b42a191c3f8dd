"""What `gate` promises, on made-up levels and channels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from functions.transcribe.flags import Flags
from functions.transcribe.recognizer import Samples
from functions.transcribe.whisper.speech.gate import (
    VAD_FRAME,
    FrameLevels,
    Gate,
    Loudness,
    frame_levels,
)
from shared.audio.pcm import PCM16_FULL_SCALE

AROUND = Loudness().around
STRETCH = 300
SILENCE = np.full(STRETCH, -100, np.float32)
NOTHING = np.zeros(0, np.float32)


def noise(frames: int, level: float, seed: int = 0) -> Samples:
    scale = PCM16_FULL_SCALE * 10 ** (level / 20)
    return np.random.default_rng(seed).normal(0, scale, frames * VAD_FRAME).astype(np.int16)


def opened(levels: FrameLevels, loudness: Loudness | None = None) -> Flags:
    """The gate's answers to a whole channel, in stretches."""
    gate = Gate(loudness)
    ends = range(STRETCH, len(levels) + STRETCH, STRETCH)
    return np.concatenate(
        [gate.opened(levels[end - STRETCH : end], levels[end : end + AROUND]) for end in ends]
    )


def near(loud: NDArray[np.int64], frames: int) -> Flags:
    flags = np.zeros(frames, np.bool_)
    for frame in loud:
        flags[max(frame - AROUND, 0) : frame + AROUND + 1] = True
    return flags


@given(st.sets(st.integers(0, 3 * STRETCH - 1), max_size=20), st.integers(1, 3 * STRETCH))
def test_a_loud_frame_opens_the_gate_for_those_around_it_and_no_others(
    loud: set[int], length: int
) -> None:
    levels = np.full(length, -80, np.float32)
    places = np.array([frame for frame in sorted(loud) if frame < length], np.int64)
    levels[places] = -20
    assert np.array_equal(opened(levels), near(places, length))


@given(st.floats(-80, -46), st.integers(0, 2**32 - 1))
def test_steady_noise_is_not_let_through(level: float, seed: int) -> None:
    assert not opened(frame_levels(noise(3 * STRETCH, level, seed))).any()


def test_digital_silence_is_not_let_through() -> None:
    assert not opened(SILENCE).any()
    assert frame_levels(np.zeros(2 * VAD_FRAME, np.int16)).tolist() == [-100, -100]


@pytest.mark.parametrize("level", [-41, -30, -10, 0])
def test_loud_noise_is_let_through_whole_as_speech_may_be_in_it(level: float) -> None:
    assert opened(np.full(2 * STRETCH, level, np.float32)).all()


def test_speech_as_loud_as_the_noise_is_let_through() -> None:
    levels = np.full(STRETCH, -55, np.float32)
    levels[100:120] += 3.1
    assert opened(levels)[100 - AROUND : 120 + AROUND].all()


def test_speech_that_fills_a_stretch_is_held_against_the_silence_before_it() -> None:
    quiet_speech = np.tile(np.array([-50, -44, -55, -47], np.float32), STRETCH // 4)
    assert opened(np.concatenate((SILENCE, quiet_speech)))[STRETCH:].all()


def test_the_floor_follows_when_old_silence_is_forgotten() -> None:
    noisy = np.full(5 * STRETCH, -60, np.float32)
    flags = opened(np.concatenate((SILENCE, noisy)), Loudness(history=2))
    assert flags[STRETCH : 2 * STRETCH].all()
    assert not flags[2 * STRETCH + AROUND :].any()


def test_a_frame_ahead_opens_the_gate_before_its_own_stretch() -> None:
    ahead = np.full(AROUND, -100, np.float32)
    ahead[3] = -20
    flags = Gate().opened(SILENCE, ahead)
    assert flags.nonzero()[0].tolist() == list(range(STRETCH + 3 - AROUND, STRETCH))


def test_a_stretch_shorter_than_what_is_around_is_taken() -> None:
    gate = Gate()
    loud, silent = np.array([-20], np.float32), np.array([-90], np.float32)
    assert gate.opened(loud, silent).all()
    assert gate.opened(silent, NOTHING).all()


def test_levels_are_relative_to_full_scale_and_pass_over_an_offset() -> None:
    swing = np.tile(np.array([-3_277, 3_277], np.int16), VAD_FRAME)
    assert frame_levels(swing) == pytest.approx([-20, -20], abs=0.01)
    assert frame_levels(swing + np.int16(8_000)) == pytest.approx([-20, -20], abs=0.01)
