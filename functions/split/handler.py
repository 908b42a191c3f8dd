"""Split a stereo recording into its channels, 16 kHz mono each."""

import asyncio
from collections.abc import AsyncIterator

from events import RecordingReceived, RecordingSplit
from events.base import Channel
from functions.split.channels import RECOGNIZER_RATE, resampled, resampled_frames
from shared.errors import Missing
from shared.formats import Limits
from shared.function import function
from shared.ports import Blobs
from shared.wav import Header, HeaderReader, pcm16_header

SIDES: tuple[Channel, ...] = ("left", "right")


@function("split")
async def split(received: RecordingReceived, *, blobs: Blobs, limits: Limits) -> RecordingSplit:
    """Write one WAV per channel next to the recording. One that is there is not made again."""
    header = await read_header(blobs, received.audio)
    limits.check_format(header.audio)
    frames = await present_frames(blobs, received.audio, header)
    await asyncio.gather(
        *(
            write_channel(blobs, received, header, index, frames)
            for index in range(header.audio.channels)
        )
    )
    return RecordingSplit(
        tenant=received.tenant,
        recording=received.recording,
        run=received.run,
        channels=SIDES[: header.audio.channels],
        duration=received.duration,
    )


async def read_header(blobs: Blobs, key: str) -> Header:
    """Read the WAV header of a blob. Raise `Permanent` if it is none."""
    reader = HeaderReader()
    async for piece in blobs.read(key):
        if (header := reader.feed(piece)) is not None:
            return header
    raise reader.end()


async def present_frames(blobs: Blobs, key: str, header: Header) -> int:
    """Frames that are there, which may be fewer than the header says."""
    size = await blobs.size(key)
    if size is None:
        raise Missing(key)
    return header.present_bytes(size) // header.audio.frame_bytes


async def write_channel(
    blobs: Blobs, received: RecordingReceived, header: Header, index: int, frames: int
) -> None:
    """Write channel `index` of the recording's first `frames` frames, unless it is there."""
    key = received.run_key.audio(SIDES[index])
    if await blobs.size(key) is not None:
        return
    pieces = first_bytes(
        blobs.read(received.audio, header.data_start), frames * header.audio.frame_bytes
    )
    samples = resampled(pieces, header.audio, index, frames)
    await blobs.put(key, wav(samples, resampled_frames(frames, header.audio.sample_rate)))


async def first_bytes(pieces: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    """The first `count` bytes of the pieces."""
    async for piece in pieces:
        yield piece[:count]
        count -= min(count, len(piece))
        if count == 0:
            return


async def wav(samples: AsyncIterator[bytes], frames: int) -> AsyncIterator[bytes]:
    """A mono 16 kHz WAV file around the samples."""
    yield pcm16_header(frames, RECOGNIZER_RATE)
    async for piece in samples:
        yield piece
