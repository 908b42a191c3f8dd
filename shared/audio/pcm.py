"""Streams of PCM: chunks of whole frames, and the header of the WAVs that split writes."""

import struct
from collections.abc import AsyncIterator

from shared.audio.formats import PCM

LARGEST_SIZE = 0xFFFFFFFF
PCM16_BYTES = 2
"""Bytes of one frame of mono 16-bit PCM."""


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


def pcm16_header(frames: int, sample_rate: int) -> bytes:
    """Return the 44-byte header of a mono 16-bit PCM WAV.

    It has no room for a size of 4 GiB or more, which becomes 0xFFFFFFFF, as in streamed files.
    """
    size = min(2 * frames, LARGEST_SIZE)
    riff = struct.pack("<4sI4s", b"RIFF", min(36 + size, LARGEST_SIZE), b"WAVE")
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, sample_rate, 2 * sample_rate, 2, 16)
    return riff + fmt + struct.pack("<4sI", b"data", size)
