"""Readers of the first bytes of compressed audio files: container, channels and sample rate.

Each reader takes the file's first bytes and returns None as long as it needs more, up to
`LONGEST_OPENING`. It raises `Permanent` (invalid_file_type) for what only looked like its kind.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from shared.audio.formats import unknown_file_type
from shared.errors import Permanent

LONGEST_OPENING = 1 << 13
ID3_HEADER_BYTES = 10
STREAMINFO_END = 42
OGG_PAGE_BYTES = 27
FIRST_PAGE = 2
OPUS_RATE = 48_000
LONGEST_FTYP = 4096
BRANDS = (b"M4A", b"M4B", b"mp4", b"iso", b"dash", b"3gp", b"3g2")
MP3_HEADER_BYTES = 4
MP3_BITRATES = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Layer III's, in kbit/s, for MPEG-1 and for MPEG-2 and 2.5; 0 is "free", which nobody uses."""
MP3_SAMPLE_RATES = {
    3: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8_000),
}
"""Sample rates in Hz by the header's two version bits: MPEG-1, MPEG-2, MPEG-2.5."""


@dataclass(frozen=True, slots=True)
class AudioProperties:
    """A file's properties that need no decoding; None where only decoding can tell.

    `sample_rate` in Hz, `duration` in seconds.
    """

    container: str
    channels: int | None = None
    sample_rate: int | None = None
    duration: float | None = None


OpeningReader: TypeAlias = Callable[[bytes], AudioProperties | None]


def id3_length(start: bytes) -> int:
    """Return the length in bytes of an ID3v2 tag (ID3v2.4 section 3.1), 0 without one."""
    if start[:3] != b"ID3" or any(byte & 0x80 for byte in start[6:10]):
        return 0
    size = sum(byte << 7 * place for place, byte in enumerate(reversed(start[6:10])))
    footer = ID3_HEADER_BYTES if start[5] & 0x10 else 0
    return ID3_HEADER_BYTES + size + footer


def opening_reader(start: bytes) -> OpeningReader:
    """Return the reader for a file that begins with `start`.

    Raises `Permanent` (invalid_file_type) if there is none.
    """
    if start[4:8] == b"ftyp":
        return m4a
    reader = OPENING_READERS.get(start[:4])
    if reader is None and mp3_header(start[:MP3_HEADER_BYTES]) is not None:
        return mp3
    if reader is None:
        raise unknown_file_type(start)
    return reader


def flac(start: bytes) -> AudioProperties | None:
    """FLAC (RFC 9639): the STREAMINFO block holds rate, channels and, mostly, samples."""
    if len(start) < STREAMINFO_END:
        return None
    if start[4] & 0x7F or int.from_bytes(start[5:8], "big") != STREAMINFO_END - 8:
        raise unknown_file_type(start)
    packed = int.from_bytes(start[18:26], "big")
    rate, channels, frames = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    return AudioProperties("flac", channels, rate, frames / rate if frames and rate else None)


def ogg(start: bytes) -> AudioProperties | None:
    """Ogg (RFC 3533) whose first packet is the head of Opus (RFC 7845) or Vorbis I."""
    if len(start) < OGG_PAGE_BYTES:
        return None
    packet = start[OGG_PAGE_BYTES + start[26] :][:16]
    if len(packet) < 16:  # noqa: PLR2004 - what both heads need
        return None
    first = start[4] == 0 and start[5] & FIRST_PAGE
    if first and packet[:8] == b"OpusHead":
        return AudioProperties("ogg", packet[9], OPUS_RATE)
    if first and packet[:7] == b"\x01vorbis":
        _, channels, rate = struct.unpack_from("<IBI", packet, 7)
        return AudioProperties("ogg", channels, rate)
    raise Permanent(
        "invalid_file_type", f"The Ogg file holds {packet[:8]!r}; allowed: Opus or Vorbis."
    )


def m4a(start: bytes) -> AudioProperties | None:
    """MPEG-4 audio (ISO/IEC 14496-12): its `ftyp` box; the rest may stand at the file's end."""
    brand = start[8:12]
    if not 16 <= int.from_bytes(start[:4], "big") <= LONGEST_FTYP:  # noqa: PLR2004 - the least
        raise unknown_file_type(start)
    if not brand.startswith(BRANDS):
        raise Permanent("invalid_file_type", f"The MPEG-4 file is a {brand!r}; allowed: audio.")
    return AudioProperties("m4a")


@dataclass(frozen=True, slots=True)
class Mp3Header:
    """One frame of MPEG audio layer III. `length` in bytes, the header included."""

    version: int
    sample_rate: int
    channels: int
    length: int

    def agrees(self, other: "Mp3Header") -> bool:
        """Return whether both can be frames of one stream; the bit rate may vary."""
        ours, theirs = ((one.version, one.sample_rate, one.channels) for one in (self, other))
        return ours == theirs


def mp3_header(start: bytes) -> Mp3Header | None:
    """Return the frame whose four header bytes are `start` (ISO/IEC 11172-3 section 2.4.1.3).

    Returns None if they are no header.
    """
    bits = int.from_bytes(start, "big")
    version, bitrate, rate = bits >> 19 & 3, bits >> 12 & 15, bits >> 10 & 3
    sync, layer, emphasis = bits >> 21, bits >> 17 & 3, bits & 3
    if len(start) < MP3_HEADER_BYTES or (sync, layer) != (0x7FF, 1) or version == 1:
        return None
    if bitrate in (0, 15) or rate == 3 or emphasis == 2:  # noqa: PLR2004 - reserved
        return None
    first = version == 3  # noqa: PLR2004 - MPEG-1
    hertz = MP3_SAMPLE_RATES[version][rate]
    length = (144 if first else 72) * 1000 * MP3_BITRATES[first][bitrate] // hertz
    channels = 1 if bits >> 6 & 3 == 3 else 2  # noqa: PLR2004 - single channel
    return Mp3Header(version, hertz, channels, length + (bits >> 9 & 1))


def mp3(start: bytes) -> AudioProperties | None:
    """MP3: two frames in a row that agree. Four bytes alone are found in any file."""
    frame = mp3_header(start[:MP3_HEADER_BYTES])
    if frame is None:
        raise unknown_file_type(start)
    second = start[frame.length : frame.length + MP3_HEADER_BYTES]
    if len(second) < MP3_HEADER_BYTES:
        return None
    following = mp3_header(second)
    if following is None or not frame.agrees(following):
        raise Permanent(
            "invalid_file_type",
            f"The upload begins like an MP3 ({start[:4].hex()}) and does not go on like one.",
        )
    return AudioProperties("mp3", frame.channels, frame.sample_rate)


OPENING_READERS: Mapping[bytes, OpeningReader] = MappingProxyType({b"fLaC": flac, b"OggS": ogg})
