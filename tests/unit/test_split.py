import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from typing import TypeAlias

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from obstore.store import MemoryStore

from events import Event, RecordingSplit
from events.documents import Level, Levels
from functions.split.channels import ChannelResampler, resampled_frames
from functions.split.handler import split
from shared.audio.formats import ENCODINGS, AudioFormat, Limits
from shared.blobs import ObjectBlobs
from shared.errors import Missing, Permanent, Unavailable
from tests.support.examples import chunk, cut, fmt, riff, stream, was_split, wav_file
from tests.support.handlers import misdirected
from tests.support.sounds import (
    AMPLITUDE,
    PLAIN,
    FakeDecoder,
    both,
    pitch,
    rf64,
    tone,
    tones,
    wav_of,
)
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

Samples: TypeAlias = NDArray[np.int16]
RATES = [8_000, 11_025, 16_000, 44_100, 48_000]
SINE = round(20 * np.log10(AMPLITUDE / 2**15), 2)
"""Peak of the sines in dBFS."""
HEARD = tones(440, 1_000, 8_000, 14_000)
"""1.75 s of stereo."""


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
    samples = np.random.default_rng(1).integers(-(2**15), 2**15, (17_000, 2)).astype("<i2")
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
    left, right = sides(wav_file(tones(440, 1_000, 16_000, 16_001), rate=16_000)[:-3])
    assert len(left) == len(right) == 16_000


def test_a_file_that_was_cut_off_is_as_long_as_what_is_there() -> None:
    whole = wav_file(tones(440, 1_000, 8_000, 16_000))
    left, right = sides(whole[: 44 + 4 * 9_000])
    assert len(left) == len(right) == 18_000


def test_the_event_tells_the_channels_and_the_duration() -> None:
    async def work() -> tuple[Event, ...]:
        return await split_in(await stored(wav_file()))

    assert run(work()) == (
        RecordingSplit(
            tenant="default",
            recording=CALL.recording,
            run=1,
            channels=("left", "right"),
            duration=2.0,
            levels=KEY.levels,
        ),
    )


def test_a_mono_recording_is_one_channel_and_never_two_speakers() -> None:
    async def work() -> tuple[tuple[Event, ...], int | None]:
        blobs = await stored(wav_file(bytes(32_000), channels=1))
        return await split_in(blobs), await blobs.size(KEY.audio("right"))

    (event,), right = run(work())
    assert isinstance(event, RecordingSplit)
    assert (event.channels, right) == (("left",), None)


def test_a_repeated_delivery_gives_the_equal_event_and_writes_nothing() -> None:
    async def work() -> None:
        blobs = await stored(wav_file())
        before = wav_file(b"\xff\x7f" * 40, channels=1, rate=16_000)
        await blobs.put(KEY.audio("left"), stream([before]))
        first = await split_in(blobs)
        right = [piece async for piece in blobs.read(KEY.audio("right"))]
        levels = await levels_in(blobs)
        assert levels.levels[0] == Level(channel="left", peak=0, rms=0)
        await blobs.delete(CALL.audio)
        assert await split_in(blobs) == first
        assert await levels_in(blobs) == levels
        assert [piece async for piece in blobs.read(KEY.audio("left"))] == [before]
        assert [piece async for piece in blobs.read(KEY.audio("right"))] == right

    run(work())


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (b"hello, world", "invalid_file_type"),
        (b"#EXTM3U\nhttp://host/call.wav\n", "invalid_file_type"),
        (riff(fmt()), "invalid_audio"),
        (wav_file(channels=3), "audio_constraints"),
        (wav_file(rate=7_000), "audio_constraints"),
        (wav_file(bytes(31_996)), "audio_constraints"),
        (wav_file(bytes(32_000 * 1_800 + 4)), "audio_constraints"),
        (wav_file()[:1_000], "audio_constraints"),
        (b"fLaC\0\0\0\x22" + bytes(10) + b"\x01\xf4\x02\xf0" + bytes(30), "invalid_audio"),
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


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("key", PLAIN)
def test_every_encoding_is_split_into_the_same_channels(
    key: tuple[int, int], *, extensible: bool
) -> None:
    encoding = ENCODINGS[key]
    file = wav_of(both(440, 1_000, 16_000, 20_000), encoding, 16_000, extensible=extensible)
    left, right = sides(file)
    assert [pitch(left), pitch(right)] == pytest.approx([440, 1_000], abs=1)
    assert np.abs(left - tone(440, 16_000, 20_000)).max() <= (
        257 if encoding.block_bytes == 1 else 1
    )
    levels = levels_of(file)
    assert (levels.container, levels.encoding) == ("wav", encoding.name)
    assert (levels.channels, levels.sample_rate, levels.duration) == (2, 16_000, 1.25)
    assert codes(levels) == []


@given(
    st.sampled_from(list(PLAIN)),
    st.sampled_from([8_000, 22_050, 48_000]),
    st.integers(1, 2),
    st.lists(st.integers(0, 1 << 20), max_size=5),
)
def test_every_encoding_rate_and_layout_gives_the_promised_samples(
    key: tuple[int, int], rate: int, channels: int, at: list[int]
) -> None:
    sound = both(440, 1_000, rate, rate // 4)[:, :channels]
    audio = AudioFormat(ENCODINGS[key], channels, rate)
    content = wav_of(sound, audio.encoding, rate)[44:]
    for index in range(channels):
        resampler = ChannelResampler(audio, index, rate // 4)
        ready = b"".join([*map(resampler.push, cut(content, at)), resampler.finish()])
        samples = np.frombuffer(ready, "<i2")
        expected = tone((440, 1_000)[index], 16_000, 4_000)
        allowed = 300 if audio.encoding.block_bytes == 1 else 40
        assert len(samples) == 4_000
        assert np.abs(samples - expected)[800:-800].max() < allowed


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (wav_file(tones(440, 1_000, 8_000, 16_000))[:-8_000], ["truncated"]),
        (riff(fmt(), chunk(b"data", HEARD, 3_000_000)), ["truncated"]),
        (riff(fmt(), chunk(b"data", HEARD, 1_000)), ["size_lies"]),
        (riff(fmt(), chunk(b"data", HEARD, 0)), []),
        (riff(fmt(), chunk(b"data", HEARD, 0x7FFFF000)), []),
        (riff(fmt(), chunk(b"data", HEARD, 0xFFFFFFFF)), []),
        (riff(fmt(), chunk(b"data", HEARD), chunk(b"LIST", bytes(5_000))), []),
        (rf64(HEARD), []),
        (rf64(HEARD, size=64_000), ["truncated"]),
    ],
)
def test_a_size_that_lies_is_a_warning_and_what_is_there_is_heard(
    file: bytes, code: list[str]
) -> None:
    levels = levels_of(file)
    assert (levels.duration, codes(levels)) == (1.75, code)
    assert [len(side) for side in sides(file)] == [28_000, 28_000]


def test_the_levels_tell_how_loud_each_channel_is() -> None:
    sound = both(440, 1_000, 16_000, 16_000) * [1, 0.5]
    levels = levels_of(wav_of(sound, ENCODINGS[1, 16], 16_000))
    assert levels.levels == (
        Level(channel="left", peak=SINE, rms=round(SINE - 3.01, 2)),
        Level(channel="right", peak=round(SINE - 6.02, 2), rms=round(SINE - 9.03, 2)),
    )


def test_a_silent_channel_has_no_level() -> None:
    (left, right) = levels_of(wav_file()).levels
    assert (left, right) == (
        Level(channel="left", peak=None, rms=None),
        Level(channel="right", peak=None, rms=None),
    )


def test_a_full_channel_is_at_full_scale() -> None:
    (left,) = levels_of(wav_file(b"\0\x80" * 16_000, channels=1, rate=16_000)).levels
    assert (left.peak, left.rms) == (0, 0)


def test_samples_that_are_no_numbers_are_silent_with_a_warning() -> None:
    sound = both(440, 1_000, 16_000, 16_000)
    sound[5_000:5_010, 0] = np.nan
    sound[6_000, 1] = np.inf
    file = wav_of(sound, ENCODINGS[3, 32], 16_000)
    left, right = sides(file)
    assert not left[5_000:5_010].any()
    assert right[6_000] == 0
    (warning,) = levels_of(file).warnings
    assert warning.code == "not_numbers"
    assert warning.message.startswith("11 samples")


def test_two_mono_files_are_one_call() -> None:
    async def work() -> tuple[tuple[Event, ...], Samples, Samples]:
        blobs = await stored(mono(440, 8_000, 16_000), mono(1_000, 48_000, 72_000))
        events = await split_in(blobs, call=TWO_FILES)
        return events, await channel(blobs, "left"), await channel(blobs, "right")

    (event,), left, right = run(work())
    assert isinstance(event, RecordingSplit)
    assert (event.channels, event.duration) == (("left", "right"), 2.0)
    assert (len(left), len(right)) == (32_000, 24_000)
    assert [pitch(left), pitch(right)] == pytest.approx([440, 1_000], abs=1)


def test_two_files_are_told_as_one_recording() -> None:
    a_law = wav_of(tone(1_000, 48_000, 48_000)[:, None], ENCODINGS[6, 8], 48_000)
    levels = levels_of(mono(440, 8_000, 16_000)[:-4_000], a_law)
    assert (levels.container, levels.encoding) == ("wav", "pcm_s16le+pcm_alaw")
    assert (levels.channels, levels.sample_rate, levels.duration) == (2, 48_000, 1.75)
    assert [level.channel for level in levels.levels] == ["left", "right"]
    (warning,) = levels.warnings
    assert warning.message.startswith("The left file: The header says")


@pytest.mark.parametrize(
    "files", [(wav_file(), mono(440, 8_000, 8_000)), (mono(1, 8_000, 8_000), wav_file())]
)
def test_neither_of_two_files_may_be_stereo(files: tuple[bytes, bytes]) -> None:
    async def work() -> None:
        blobs = await stored(*files)
        with pytest.raises(Permanent, match="2 channels; allowed: 1"):
            await split_in(blobs, call=TWO_FILES)
        assert await blobs.size(KEY.audio("left")) is None

    run(work())


def test_the_right_file_that_is_not_there_is_missing() -> None:
    async def work() -> None:
        await split_in(await stored(mono(440, 8_000, 8_000)), call=TWO_FILES)

    with pytest.raises(Missing):
        run(work())


FLAC = (
    b"fLaC\0\0\0\x22"
    + bytes(10)
    + (8_000 << 44 | 1 << 41 | 15 << 36).to_bytes(8, "big")
    + bytes(16)
)


def test_what_is_no_plain_wav_is_split_by_the_decoder() -> None:
    file = FLAC + b"FAKE" + tones(440, 1_000, 8_000, 10_000)
    left, right = sides(file)
    assert len(left) == len(right) == 20_000
    assert [pitch(left), pitch(right)] == pytest.approx([440, 1_000], abs=1)
    levels = levels_of(file)
    assert (levels.container, levels.encoding) == ("flac", "fake")
    assert (levels.sample_rate, levels.duration) == (8_000, 1.25)


def test_what_only_decoding_can_tell_is_held_to_the_limits_too() -> None:
    async def work(limits: Limits, seconds: int) -> None:
        blobs = await stored(FLAC + b"FAKE" + bytes(32_000 * seconds))
        await split_in(blobs, limits)

    with pytest.raises(Permanent, match="more than 3 s"):
        run(work(Limits(max_seconds=3), 4))
    with pytest.raises(Permanent, match="lasts 2 s; allowed: 3"):
        run(work(Limits(min_seconds=3), 2))
    with pytest.raises(Permanent, match="2 channels; allowed: 1"):
        run(work(Limits(channels=(1,)), 2))


def test_levels_of_other_work_are_made_again() -> None:
    class Newer(FakeDecoder):
        engine = "fake 2"

    async def work() -> tuple[str, str]:
        blobs = await stored(wav_file())
        await split_in(blobs)
        first = await levels_in(blobs)
        await split(CALL, blobs=blobs, limits=Limits(), decoder=Newer())
        return first.digest, (await levels_in(blobs)).digest

    first, second = run(work())
    assert first != second


class Full(ObjectBlobs):
    """A store that fails while the right channel is written."""

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        if key == KEY.audio("right"):
            await anext(chunks)
            raise Unavailable("full")
        await super().put(key, chunks)


def test_a_channel_that_fails_ends_the_other_and_the_levels_are_not_written() -> None:
    async def work() -> Levels | None:
        blobs = Full(MemoryStore())
        await blobs.put(CALL.audio, stream([wav_file()]))
        with pytest.raises(Unavailable):
            await split_in(blobs)
        assert len(asyncio.all_tasks()) == 1
        return await blobs.get_json(KEY.levels, Levels)

    assert run(work()) is None


def test_a_recording_that_is_not_there_is_missing() -> None:
    with pytest.raises(Missing):
        run(split_in(ObjectBlobs(MemoryStore())))


def test_a_foreign_key_in_the_event_is_not_read() -> None:
    async def work() -> None:
        blobs = await stored(mono(440, 8_000, 8_000), mono(880, 8_000, 8_000))
        assert await split_in(blobs, call=misdirected(TWO_FILES)) == (
            was_split().model_copy(update={"duration": 1.0}),
        )

    run(work())


def test_the_digest_of_a_channel_is_that_of_its_samples_whoever_wrote_them() -> None:
    async def work() -> None:
        blobs = await stored(wav_file(HEARD))
        await split_in(blobs)
        first = await levels_in(blobs)
        assert first.sha256 == {
            name: hashlib.sha256((await channel(blobs, name)).tobytes()).hexdigest()
            for name in ("left", "right")
        }
        await blobs.delete(KEY.levels)
        await split_in(blobs)
        assert await levels_in(blobs) == first

    run(work())


def test_the_work_is_told_by_the_uploads_content_and_by_its_key_where_that_is_not_known() -> None:
    async def digest(**changes: object) -> str:
        blobs = await stored(wav_file(HEARD))
        await split_in(blobs, call=CALL.model_copy(update=changes))
        return (await levels_in(blobs)).digest

    same, other, unknown = (run(digest(sha256=sha256)) for sha256 in (CALL.sha256, "cd", None))
    assert len({same, other, unknown}) == 3
    assert run(digest(tenant="default")) == same
    assert run(digest(sha256=None)) == unknown
