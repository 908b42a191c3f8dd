import asyncio
import io
from collections.abc import Coroutine
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from obstore.store import MemoryStore

from events import Event, RecordingSplit
from functions.split.channels import ChannelResampler, resampled_frames
from functions.split.handler import split
from shared.blobs import ObjectBlobs
from shared.errors import Missing, Permanent
from shared.formats import ENCODINGS, AudioFormat, Limits
from tests.examples import chunk, cut, fmt, received, riff, stream, wav_file

T = TypeVar("T")
Samples: TypeAlias = NDArray[np.int16]
RATES = [8_000, 11_025, 16_000, 44_100, 48_000]
CALL = received()
KEY = CALL.run_key


def tone(hertz: float, rate: int, frames: int) -> NDArray[np.float64]:
    return 8_000 * np.sin(2 * np.pi * hertz * np.arange(frames) / rate)


def tones(left: float, right: float, rate: int, frames: int) -> bytes:
    both = np.stack([tone(left, rate, frames), tone(right, rate, frames)], axis=1)
    return both.astype("<i2").tobytes()


def pitch(samples: Samples) -> float:
    """The strongest frequency in Hz, by the middle of the samples."""
    strength = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(strength)) * 16_000 / len(samples)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def stored(file: bytes) -> ObjectBlobs:
    blobs = ObjectBlobs(MemoryStore())
    await blobs.put(CALL.audio, stream([file]))
    return blobs


async def split_in(blobs: ObjectBlobs, limits: Limits | None = None) -> tuple[Event, ...]:
    return await split(CALL, blobs=blobs, limits=limits or Limits())


async def channel(blobs: ObjectBlobs, name: str) -> Samples:
    """The channel as another program reads it."""
    file = b"".join([piece async for piece in blobs.read(KEY.audio(name))])
    samples, rate = soundfile.read(io.BytesIO(file), dtype="int16")
    assert (rate, samples.ndim) == (16_000, 1)
    assert len(file) == 44 + 2 * len(samples)
    return np.asarray(samples, np.int16)


def sides(file: bytes) -> tuple[Samples, Samples]:
    """Both channels after the split."""

    async def work() -> tuple[Samples, Samples]:
        blobs = await stored(file)
        await split_in(blobs)
        return await channel(blobs, "left"), await channel(blobs, "right")

    return run(work())


@pytest.mark.parametrize("rate", RATES)
def test_channels_keep_their_sound_and_are_not_swapped(rate: int) -> None:
    frames = 2 * rate + 77
    left, right = sides(wav_file(tones(440, 1_000, rate, frames), rate=rate))
    assert len(left) == len(right) == round(frames * 16_000 / rate)
    assert pitch(left) == pytest.approx(440, abs=2)
    assert pitch(right) == pytest.approx(1_000, abs=2)


@pytest.mark.parametrize("rate", RATES)
def test_a_channel_is_neither_late_nor_quieter(rate: int) -> None:
    left, _ = sides(wav_file(tones(440, 1_000, rate, rate), rate=rate))
    expected = tone(440, 16_000, 16_000)
    middle = slice(1_000, -1_000)
    assert np.abs(left[middle] - expected[middle]).max() < 40


def test_a_recording_at_the_recognisers_rate_is_unchanged() -> None:
    samples = np.random.default_rng(1).integers(-(2**15), 2**15, (5_000, 2)).astype("<i2")
    left, right = sides(wav_file(samples.tobytes(), rate=16_000))
    assert (left == samples[:, 0]).all()
    assert (right == samples[:, 1]).all()


def test_a_silent_channel_stays_silent() -> None:
    both = np.frombuffer(tones(440, 440, 8_000, 8_000), "<i2").reshape(-1, 2).copy()
    both[:, 1] = 0
    left, right = sides(wav_file(both.tobytes()))
    assert left.any()
    assert not right.any()


def test_chunks_around_the_samples_are_not_heard() -> None:
    samples = tones(440, 1_000, 16_000, 16_000)
    noise = chunk(b"LIST", bytes(range(251)))
    file = riff(noise, fmt(rate=16_000), noise, chunk(b"data", samples), noise)
    left, right = sides(file)
    assert np.stack([left, right], axis=1).astype("<i2").tobytes() == samples


@given(
    st.sampled_from(RATES),
    st.integers(0, 1),
    st.integers(0, 3_000),
    st.lists(st.integers(0, 1 << 14), max_size=12),
)
def test_pieces_of_any_size_give_the_same_samples(
    rate: int, index: int, frames: int, at: list[int]
) -> None:
    audio = AudioFormat(ENCODINGS[1, 16], channels=2, sample_rate=rate)
    content = tones(300, 700, rate, frames)

    def through(pieces: list[bytes]) -> bytes:
        resampler = ChannelResampler(audio, index, frames)
        return b"".join([*map(resampler.push, pieces), resampler.finish()])

    whole = through([content])
    assert through(cut(content, at)) == whole
    assert len(whole) == 2 * resampled_frames(frames, rate)


def test_a_frame_that_is_cut_off_is_left_out() -> None:
    left, right = sides(wav_file(tones(440, 1_000, 16_000, 1_600), rate=16_000)[:-3])
    assert len(left) == len(right) == 1_599


def test_a_file_that_was_cut_off_is_as_long_as_what_is_there() -> None:
    whole = wav_file(tones(440, 1_000, 8_000, 8_000))
    left, right = sides(whole[: 44 + 4 * 3_000])
    assert len(left) == len(right) == 6_000


def test_the_event_tells_the_channels_and_the_duration() -> None:
    async def work() -> tuple[Event, ...]:
        return await split_in(await stored(wav_file()))

    assert run(work()) == (
        RecordingSplit(
            tenant="default",
            recording=CALL.recording,
            run=1,
            channels=("left", "right"),
            duration=CALL.duration,
        ),
    )


def test_a_mono_recording_is_one_channel_where_it_is_allowed() -> None:
    async def work() -> tuple[tuple[Event, ...], int | None]:
        blobs = await stored(wav_file(bytes(32_000), channels=1))
        return await split_in(blobs, Limits(channels=(1, 2))), await blobs.size(KEY.audio("right"))

    (event,), right = run(work())
    assert isinstance(event, RecordingSplit)
    assert (event.channels, right) == (("left",), None)


def test_a_repeated_delivery_gives_the_equal_event_and_writes_nothing() -> None:
    async def work() -> None:
        blobs = await stored(wav_file())
        await blobs.put(KEY.audio("left"), stream([b"written before"]))
        first = await split_in(blobs)
        right = [piece async for piece in blobs.read(KEY.audio("right"))]
        assert await split_in(blobs) == first
        assert [piece async for piece in blobs.read(KEY.audio("left"))] == [b"written before"]
        assert [piece async for piece in blobs.read(KEY.audio("right"))] == right

    run(work())


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (b"hello, world", "invalid_file_type"),
        (riff(fmt()), "invalid_audio"),
        (wav_file(channels=1), "audio_constraints"),
        (wav_file(rate=7_000), "audio_constraints"),
    ],
)
def test_a_blob_that_is_no_recording_is_given_up_and_leaves_nothing(file: bytes, code: str) -> None:
    async def work() -> None:
        blobs = await stored(file)
        with pytest.raises(Permanent) as refused:
            await split_in(blobs)
        assert refused.value.code == code
        assert await blobs.size(KEY.audio("left")) is None

    run(work())


def test_a_recording_that_is_not_there_is_missing() -> None:
    with pytest.raises(Missing):
        run(split_in(ObjectBlobs(MemoryStore())))
