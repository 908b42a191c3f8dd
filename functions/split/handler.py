"""Split a recording into its speakers, 16 kHz mono each, and measure them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib.metadata import version

import numpy as np

from events import RecordingReceived, RecordingSplit
from events.documents import ChannelQuality, Levels
from functions.split.channels import ChannelReader, ChannelResampler, resampled
from functions.split.decoder import Decoder
from functions.split.dual_mono import Compared, Comparison, side_by_side
from functions.split.levels import ChannelMeasures, Meter, Track, levels_of, tracks
from functions.split.sources import open_source
from shared.audio.formats import Limits
from shared.audio.pcm import PCM16_BYTES, pcm16_header, whole_frame_chunks
from shared.digest import work_digest
from shared.function import function
from shared.ports import Blobs
from shared.tasks import together

ENGINE = f"soxr {version('soxr')}, quality 1"
"""The resampler, and the revision of the channels' measures."""


@function("split")
async def split(
    received: RecordingReceived, *, blobs: Blobs, limits: Limits, decoder: Decoder
) -> RecordingSplit:
    """Write one WAV per channel next to the recording, then the document of levels.

    What is in the store already is not made again. Two files of one speaker each may differ in
    length: the recording lasts as long as the longer one, and neither is padded.
    """
    content = [received.sha256] if received.sha256 else uploads(received)
    digest = work_digest(*content, ENGINE, decoder.engine)
    key = received.run_key.levels
    levels = await blobs.get_json(key, Levels)
    if levels is None or levels.digest != digest:
        levels = await write_channels(received, digest, blobs, limits, decoder)
        await blobs.put_json(key, levels)
    return RecordingSplit(
        **received.same_run,
        channels=tuple(level.channel for level in levels.levels),
        duration=levels.duration,
        levels=key,
    )


def uploads(received: RecordingReceived) -> list[str]:
    """Return the keys of the upload's files, left first."""
    key = received.recording_key
    return [key.audio] if received.audio_right is None else [key.audio, key.audio_right]


async def write_channels(
    received: RecordingReceived, digest: str, blobs: Blobs, limits: Limits, decoder: Decoder
) -> Levels:
    """Write the channels, and return the document of their levels."""
    each = limits if received.audio_right is None else replace(limits, channels=(1,))
    async with AsyncExitStack() as stack:
        sources = [
            await stack.enter_async_context(open_source(blobs, key, each, decoder))
            for key in uploads(received)
        ]
        works = [write_channel(blobs, received, track) for track in tracks(sources)]
        measured = await together(*works)
        compared = await compare(blobs, received, measured)
        return levels_of(received, digest, sources, measured, compared)


async def write_channel(blobs: Blobs, received: RecordingReceived, track: Track) -> ChannelMeasures:
    """Write the channel, unless it is in the store; measure it either way."""
    key = received.run_key.audio(track.channel)
    resampler = ChannelResampler(track.source.audio, track.index, track.source.frames)
    samples = resampled(track.source.chunks(), resampler)
    await blobs.put(key, wav(samples, resampler.frames))
    meter, reader = resampler.meter, resampler.reader
    if meter.frames < resampler.frames:  # put had nothing to do
        meter, reader = await metered(blobs, key), await read(track)
    clipped = round(reader.clipping.share, 6)
    quality = ChannelQuality(channel=track.channel, silent=meter.silent, clipped=clipped)
    level = meter.level(track.channel)
    return ChannelMeasures(
        resampler.frames, level, quality, reader.not_numbers, meter.sha256.hexdigest()
    )


async def metered(blobs: Blobs, key: str) -> Meter:
    """Measure a channel that is in the store."""
    meter = Meter()
    async for samples in pcm16(blobs, key):
        await asyncio.to_thread(meter.add, np.frombuffer(samples, "<i2"))
    return meter


async def read(track: Track) -> ChannelReader:
    """Measure the upload of a channel that is in the store."""
    reader = ChannelReader(track.source.audio, track.index)
    async for chunk in track.source.chunks():
        await asyncio.to_thread(reader.measure, chunk)
    return reader


async def compare(
    blobs: Blobs, received: RecordingReceived, measured: Sequence[ChannelMeasures]
) -> Compared:
    """Compare the channels in the store, if there are two."""
    if len(measured) == 1:
        return Compared(dual_mono=False, bleed=())
    comparison = Comparison(max(one.frames for one in measured))
    left, right = (pcm16(blobs, received.run_key.audio(one.level.channel)) for one in measured)
    async for both in side_by_side(left, right):
        await asyncio.to_thread(comparison.add, *both)
    return await asyncio.to_thread(comparison.finish)


def pcm16(blobs: Blobs, key: str) -> AsyncIterator[bytes]:
    """Read the samples of a channel in the store."""
    behind_header = blobs.read(key, len(pcm16_header(0)))
    return whole_frame_chunks(behind_header, PCM16_BYTES)


async def wav(samples: AsyncIterator[bytes], frames: int) -> AsyncIterator[bytes]:
    """Yield a mono 16 kHz WAV file of the samples."""
    yield pcm16_header(frames)
    async for chunk in samples:
        yield chunk
