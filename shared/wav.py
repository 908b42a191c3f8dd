"""WAV headers, read as their bytes arrive (RIFF; Microsoft's Multiple Channel Audio Data note).

Libraries disagree on broken headers and guess in silence, so the header is read here.
"""

import struct
from dataclasses import dataclass

from shared.errors import Permanent
from shared.formats import ENCODINGS, EXTENSIBLE, PCM, AudioFormat

SIGNATURE_BYTES = 12
CHUNK_HEADER_BYTES = 8
LONGEST_FORMAT_CHUNK = 1 << 16
PLAIN_FORMAT_BYTES = 16
SUBFORMAT_OFFSET = 24


@dataclass(frozen=True, slots=True)
class Header:
    """Where the samples are. `declared_bytes` is what the file says, not what is there."""

    audio: AudioFormat
    data_start: int
    declared_bytes: int

    def present_bytes(self, file_bytes: int) -> int:
        """Bytes of samples in a file of this size, fewer than declared if it was cut off."""
        return min(self.declared_bytes, max(0, file_bytes - self.data_start))


class HeaderReader:
    """Reads a WAV header from chunks of bytes as they come, keeping none of the skipped ones.

    `feed` returns the header once known. It raises `Permanent`: `invalid_file_type` for what is
    no WAV at all, `invalid_audio` for a broken or unsupported one.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._position = 0
        self._skip = 0
        self._signature_read = False
        self._audio: AudioFormat | None = None

    def feed(self, chunk: bytes) -> Header | None:
        self._pending += chunk
        while self._advance():
            if (header := self._step()) is not None:
                return header
        return None

    def end(self) -> Permanent:
        """The error for a file that ended before its samples began."""
        if not self._signature_read:
            return _no_wav(bytes(self._pending))
        missing = "samples (no data chunk)" if self._audio else "format (no fmt chunk)"
        return _broken(f"The WAV ended before its {missing}.")

    def _advance(self) -> bool:
        """Drop what is to be skipped; tell whether the next piece is there whole."""
        dropped = min(self._skip, len(self._pending))
        self._take(dropped)
        self._skip -= dropped
        if self._skip:
            return False
        if not self._signature_read:
            return len(self._pending) >= SIGNATURE_BYTES
        return len(self._pending) >= self._needed()

    def _needed(self) -> int:
        if self._pending[:4] != b"fmt " or len(self._pending) < CHUNK_HEADER_BYTES:
            return CHUNK_HEADER_BYTES
        size = self._chunk_size()
        if not PLAIN_FORMAT_BYTES <= size <= LONGEST_FORMAT_CHUNK:
            allowed = f"{PLAIN_FORMAT_BYTES} to {LONGEST_FORMAT_CHUNK}"
            raise _broken(f"The fmt chunk has {size} bytes; allowed: {allowed}.")
        return CHUNK_HEADER_BYTES + size

    def _step(self) -> Header | None:
        if not self._signature_read:
            self._read_signature()
            return None
        name, size = bytes(self._pending[:4]), self._chunk_size()
        if name == b"data":
            return self._header(size)
        self._take(CHUNK_HEADER_BYTES)
        if name == b"fmt ":
            self._audio = _read_format(bytes(self._pending[:size]))
        self._skip = size + size % 2
        return None

    def _read_signature(self) -> None:
        start = self._take(SIGNATURE_BYTES)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            raise _no_wav(start)
        self._signature_read = True

    def _header(self, size: int) -> Header:
        if self._audio is None:
            raise _broken("The WAV has samples before its format (no fmt chunk before data).")
        return Header(self._audio, self._position + CHUNK_HEADER_BYTES, size)

    def _chunk_size(self) -> int:
        size: int = struct.unpack_from("<I", self._pending, 4)[0]
        return size

    def _take(self, count: int) -> bytes:
        taken = bytes(self._pending[:count])
        del self._pending[:count]
        self._position += count
        return taken


def _read_format(chunk: bytes) -> AudioFormat:
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == EXTENSIBLE:
        if len(chunk) < SUBFORMAT_OFFSET + 2:
            raise _broken("The extensible fmt chunk ends before its sub-format.")
        (tag,) = struct.unpack_from("<H", chunk, SUBFORMAT_OFFSET)
    encoding = ENCODINGS.get((tag, bits))
    if encoding is None:
        allowed = ", ".join(known.name for known in ENCODINGS.values())
        raise _broken(f"WAV format {tag:#06x} with {bits} bits; allowed: {allowed}.")
    if channels == 0 or rate == 0:
        raise _broken(f"The header says {channels} channels at {rate} Hz.")
    return AudioFormat(encoding, channels, rate)


def pcm16_header(frames: int, sample_rate: int) -> bytes:
    """Return the 44-byte header of a mono 16-bit PCM WAV."""
    size = 2 * frames
    riff = struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE")
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, sample_rate, 2 * sample_rate, 2, 16)
    return riff + fmt + struct.pack("<4sI", b"data", size)


def _no_wav(start: bytes) -> Permanent:
    found = f"begins with {start[:12]!r}" if start else "is empty"
    return Permanent("invalid_file_type", f"The upload {found}; allowed: a RIFF/WAVE file.")


def _broken(message: str) -> Permanent:
    return Permanent("invalid_audio", message)
