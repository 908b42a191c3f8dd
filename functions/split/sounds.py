"""Open an upload as sound: a WAV's samples as they lie in the store, anything else decoded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from events.documents import AudioWarning
from functions.split.decoder import AudioSource, Decoder
from shared.audio.formats import Limits
from shared.audio.validator import Judge
from shared.audio.wav import LOOK_BEHIND_SAMPLES, Extent, Header
from shared.errors import Missing
from shared.ports import Blobs


@asynccontextmanager
async def open_source(
    blobs: Blobs, key: str, limits: Limits, decoder: Decoder
) -> AsyncIterator[AudioSource]:
    """The blob's sound. Raise `Permanent` if it is none or outside the limits."""
    judge = await validate(blobs, key, limits)
    header, facts = judge.header, judge.facts or judge.finish()
    extent = None if header is None else await sample_extent(blobs, key, header)
    if header is not None and extent is not None and header.audio.encoding.dtype:
        yield checked(waveform(blobs, key, header, extent), limits)
    else:
        async with decoder.decoded(blobs.read(key), facts.container, limits) as sound:
            warnings = (*_lies(extent), *sound.warnings)
            yield checked(replace(sound, warnings=warnings), limits)


async def validate(blobs: Blobs, key: str, limits: Limits) -> Judge:
    """A judge that has read as much as it needs to know what the blob is."""
    judge = Judge(limits)
    async for piece in blobs.read(key):
        judge.feed(piece)
        if judge.facts is not None:
            break
    return judge


def checked(sound: AudioSource, limits: Limits) -> AudioSource:
    """The sound, if it is within the limits: only now is it known for sure."""
    limits.check_format(sound.audio)
    limits.check_duration(sound.seconds)
    return sound


def waveform(blobs: Blobs, key: str, header: Header, extent: Extent) -> AudioSource:
    """The samples of a WAV that are there, whatever its header says."""
    audio, frames = header.audio, header.audio.frames(extent.size)

    def pieces() -> AsyncIterator[bytes]:
        return first_bytes(blobs.read(key, header.data_start), frames * audio.frame_bytes)

    return AudioSource(header.container, audio.encoding.name, audio, frames, _lies(extent), pieces)


def _lies(extent: Extent | None) -> tuple[AudioWarning, ...]:
    return () if extent is None or extent.warning is None else (extent.warning,)


async def sample_extent(blobs: Blobs, key: str, header: Header) -> Extent:
    """Where the samples end."""
    size = await blobs.size(key)
    if size is None:
        raise Missing(key)
    behind, end = b"", header.declared_end
    if end is not None and end < size:
        async for piece in first_bytes(blobs.read(key, end), LOOK_BEHIND_SAMPLES):
            behind += piece
    return header.extent(size, behind)


async def first_bytes(pieces: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    """The first `count` bytes of the pieces."""
    async for piece in pieces:
        yield piece[:count]
        count -= min(count, len(piece))
        if count == 0:
            return
