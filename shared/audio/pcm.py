"""The WAVs of single channels that split writes and transcribe reads: mono 16-bit PCM, 16 kHz."""

import struct
from collections.abc import AsyncIterator

from shared.audio.formats import ENCODINGS, PCM, AudioFormat
from shared.audio.wav import HeaderReader
from shared.errors import Permanent

SAMPLE_RATE = 16_000
"""Samples a second of every channel that split writes."""
PCM16_FULL_SCALE = 32_768
"""The sample value that is 0 dBFS."""
LARGEST_SIZE = 0xFFFFFFFF
PCM16_BYTES = 2
"""Bytes of one frame of mono 16-bit PCM."""
CHANNEL_FORMAT = AudioFormat(ENCODINGS[PCM, 16], channels=1, sample_rate=SAMPLE_RATE)


async def whole_frame_chunks(
    pieces: AsyncIterator[bytes], frame_bytes: int
) -> AsyncIterator[bytes]:
    """Yield the same bytes in pieces of whole frames; an incomplete last frame is dropped."""
    rest = b""
    async for piece in pieces:
        joined = rest + piece
        end = len(joined) - len(joined) % frame_bytes
        rest = joined[end:]
        if end:
            yield joined[:end]


def pcm16_header(frames: int, sample_rate: int = SAMPLE_RATE) -> bytes:
    """Return the 44-byte header of a mono 16-bit PCM WAV.

    It has no room for a size of 4 GiB or more, which becomes 0xFFFFFFFF, as in streamed files.
    """
    size = min(2 * frames, LARGEST_SIZE)
    riff = struct.pack("<4sI4s", b"RIFF", min(36 + size, LARGEST_SIZE), b"WAVE")
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, sample_rate, 2 * sample_rate, 2, 16)
    return riff + fmt + struct.pack("<4sI", b"data", size)


async def pcm16_samples(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the samples of a channel's WAV in chunks of whole samples, without its header.

    Raises `Permanent` for anything but a WAV of `CHANNEL_FORMAT`.
    """
    async for whole in whole_frame_chunks(_after_header(chunks), PCM16_BYTES):
        yield whole


async def _after_header(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    reader = HeaderReader()
    position, data_start = 0, -1
    async for chunk in chunks:
        if data_start < 0 and (header := reader.feed(chunk)) is not None:
            _check_format(header.audio)
            data_start = header.data_start
        if data_start >= 0:
            yield chunk[max(0, data_start - position) :]
        position += len(chunk)
    if data_start < 0:
        raise reader.end()


def _check_format(audio: AudioFormat) -> None:
    if audio != CHANNEL_FORMAT:
        raise Permanent(
            "invalid_audio",
            f"The channel's WAV holds {_described(audio)}; "
            f"it must hold {_described(CHANNEL_FORMAT)}.",
        )


def _described(audio: AudioFormat) -> str:
    return f"{audio.channels} x {audio.encoding.name} at {audio.sample_rate} Hz"
