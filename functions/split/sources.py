"""Open an upload as an audio source: a WAV's samples as stored, anything else decoded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from events.documents import AudioWarning
from functions.split.decoder import AudioSource, Decoder
from shared.audio.formats import Limits
from shared.audio.validator import UploadValidator
from shared.audio.wav import TRAILER_BYTES, Extent, Header
from shared.errors import Missing
from shared.ports import Blobs


@asynccontextmanager
async def open_source(
    blobs: Blobs, key: str, limits: Limits, decoder: Decoder
) -> AsyncIterator[AudioSource]:
    """Open the blob. Raises `Permanent` if it is no audio or outside the limits."""
    validator = await validate(blobs, key, limits)
    header, properties = validator.header, validator.properties or validator.finish()
    extent = None if header is None else await sample_extent(blobs, key, header)
    if header is not None and extent is not None and header.audio.encoding.dtype:
        yield checked(waveform(blobs, key, header, extent), limits)
    else:
        async with decoder.decoded(blobs.read(key), properties.container, limits) as source:
            warnings = (*_size_warning(extent), *source.warnings)
            yield checked(replace(source, warnings=warnings), limits)


async def validate(blobs: Blobs, key: str, limits: Limits) -> UploadValidator:
    """Return a validator that has read enough to know what the blob is."""
    validator = UploadValidator(limits)
    async for chunk in blobs.read(key):
        validator.feed(chunk)
        if validator.properties is not None:
            break
    return validator


def checked(source: AudioSource, limits: Limits) -> AudioSource:
    """Return the source if it is within the limits, which only now are certain."""
    limits.check_format(source.audio)
    limits.check_duration(source.seconds)
    return source


def waveform(blobs: Blobs, key: str, header: Header, extent: Extent) -> AudioSource:
    """Return the samples that the WAV really has, whatever its header says."""
    audio, frames = header.audio, header.audio.frames(extent.size)

    def chunks() -> AsyncIterator[bytes]:
        return first_bytes(blobs.read(key, header.data_start), frames * audio.frame_bytes)

    return AudioSource(
        header.container, audio.encoding.name, audio, frames, _size_warning(extent), chunks
    )


def _size_warning(extent: Extent | None) -> tuple[AudioWarning, ...]:
    return () if extent is None or extent.warning is None else (extent.warning,)


async def sample_extent(blobs: Blobs, key: str, header: Header) -> Extent:
    """Return where the samples end."""
    size = await blobs.size(key)
    if size is None:
        raise Missing(key)
    behind, end = b"", header.declared_end
    if end is not None and end < size:
        async for chunk in first_bytes(blobs.read(key, end), TRAILER_BYTES):
            behind += chunk
    return header.extent(size, behind)


async def first_bytes(chunks: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    """Yield the first `count` bytes of the chunks."""
    async for chunk in chunks:
        yield chunk[:count]
        count -= min(count, len(chunk))
        if count == 0:
            return
