"""What split finds out about the channels, from upload to document."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from events import Event, RecordingSplit
from events.base import Channel
from events.documents import ChannelQuality, Levels, Quality
from shared.audio.formats import ENCODINGS
from tests.support.examples import wav_file
from tests.support.sounds import wav_of
from tests.support.splitting import (
    CALL,
    KEY,
    TWO_FILES,
    codes,
    levels_in,
    levels_of,
    mono,
    split_in,
    stored,
)
from tests.support.waiting import run

SUPPORT = Path(__file__).parents[1] / "calls" / "support.wav"


@pytest.fixture(scope="module")
def speech() -> NDArray[np.float64]:
    """Half a minute of a clean call at 16 kHz, a row per frame."""
    samples, _ = soundfile.read(SUPPORT, frames=30 * 16_000, dtype="int16")
    return np.asarray(samples, np.float64)


def wav16(samples: NDArray[np.float64]) -> bytes:
    """16-bit at 16 kHz; what is too loud is cut off."""
    return wav_of(samples, ENCODINGS[1, 16], 16_000)


def channel_quality(name: Channel, *, silent: bool = False, clipped: float = 0) -> ChannelQuality:
    return ChannelQuality(channel=name, silent=silent, clipped=clipped)


SOUND = Quality(
    dual_mono=False, channels=(channel_quality("left"), channel_quality("right")), bleed=()
)
"""One speaker on each channel, heard well."""


def test_a_clean_call_has_nothing_to_warn_of(speech: NDArray[np.float64]) -> None:
    levels = levels_of(wav16(speech))
    assert (levels.quality, levels.warnings) == (SOUND, ())


@pytest.mark.parametrize("gain", [1, 0.7])
def test_the_same_sound_on_both_channels_is_transcribed_once(
    speech: NDArray[np.float64], gain: float
) -> None:
    both_parties = speech.sum(axis=1) / 2

    async def work(*files: bytes) -> tuple[tuple[Event, ...], Levels]:
        blobs = await stored(*files)
        events = await split_in(blobs, call=CALL if len(files) == 1 else TWO_FILES)
        return events, await levels_in(blobs)

    sides = np.stack([both_parties, gain * both_parties], axis=1)
    for files in ((wav16(sides),), (wav16(sides[:, :1]), wav16(sides[:, 1:]))):
        (event,), levels = run(work(*files))
        assert isinstance(event, RecordingSplit)
        assert event.channels == ("left",)
        assert [level.channel for level in levels.levels] == ["left"]
        assert levels.channels == 2
        assert codes(levels) == ["dual_mono"]
        assert levels.quality == SOUND.model_copy(update={"dual_mono": True})


def test_a_leak_is_told_with_whose_voice_it_is(speech: NDArray[np.float64]) -> None:
    leaked = speech.copy()
    leaked[640:, 0] += 0.1 * speech[:-640, 1]
    levels = levels_of(wav16(leaked))
    assert levels.quality is not None
    (bleed,) = levels.quality.bleed
    assert (bleed.source, bleed.into) == ("right", "left")
    assert (bleed.delay, bleed.gain) == pytest.approx((0.04, -20), abs=0.5)
    (warning,) = levels.warnings
    assert warning.code == "bleed"
    assert warning.message.startswith(
        f"The right party can be heard on the left channel, at {bleed.gain:g} dB and 0.04 s later"
    )


def test_a_silent_channel_is_a_warning(speech: NDArray[np.float64]) -> None:
    levels = levels_of(wav16(speech * [1, 0]))
    silent = channel_quality("right", silent=True)
    assert levels.quality == Quality(dual_mono=False, channels=(SOUND.channels[0], silent))
    (warning,) = levels.warnings
    assert warning.code == "silent_channel"
    assert warning.message.startswith("The right channel has nothing")


def test_silence_on_both_channels_is_two_silent_speakers() -> None:
    levels = levels_of(wav_file())
    assert codes(levels) == ["silent_channel", "silent_channel"]
    assert len(levels.levels) == 2


@pytest.mark.parametrize("key", [(1, 16), (3, 32), (1, 8)])
def test_a_channel_that_is_cut_off_is_a_warning(
    speech: NDArray[np.float64], key: tuple[int, int]
) -> None:
    part = speech * [8, 1]
    if key != (3, 32):
        part = part.clip(-(2**15), 2**15 - 1)
    levels = levels_of(wav_of(part, ENCODINGS[key], 16_000))
    assert levels.quality is not None
    left, right = levels.quality.channels
    assert 0.001 < left.clipped < 0.1
    assert right.clipped == 0
    (warning,) = levels.warnings
    assert warning.code == "clipped_channel"
    assert warning.message.startswith(
        f"The left channel is cut off at its limit in {left.clipped:.1%}"
    )


def test_a_mono_recording_has_the_quality_of_one_channel() -> None:
    levels = levels_of(mono(440, 8_000, 8_000))
    assert levels.quality == Quality(dual_mono=False, channels=SOUND.channels[:1])
    assert levels.warnings == ()
    (warning,) = levels_of(wav_file(bytes(32_000), channels=1)).warnings
    assert warning.message.startswith("The only channel has nothing as loud as quiet speech")


def test_what_is_no_number_at_all_is_silent_speakers() -> None:
    nothing = np.full((16_000, 2), [np.nan, np.inf])
    levels = levels_of(wav_of(nothing, ENCODINGS[3, 32], 16_000))
    assert codes(levels) == ["not_numbers", "silent_channel", "silent_channel"]


def test_channels_that_are_there_are_found_to_be_what_they_were(
    speech: NDArray[np.float64],
) -> None:
    overdriven = speech * [8, 1]
    overdriven[1_000] = np.nan
    file = wav_of(overdriven, ENCODINGS[3, 32], 16_000)

    async def work() -> None:
        blobs = await stored(file)
        await split_in(blobs)
        first = await levels_in(blobs)
        await blobs.delete(KEY.levels)
        await split_in(blobs)
        assert await levels_in(blobs) == first
        assert codes(first) == ["not_numbers", "clipped_channel"]

    run(work())
