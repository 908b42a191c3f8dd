"""WAV headers, read as their bytes arrive.

RIFF; Microsoft's Multiple Channel Audio Data note; RF64 (EBU Tech 3306) and BW64 (ITU-R BS.2088).
Libraries disagree on broken headers and guess in silence, so the header is read here.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from events.documents import AudioWarning
from shared.audio.formats import ENCODINGS, EXTENSIBLE, GSM, AudioFormat, unknown_file_type
from shared.errors import Permanent

SIGNATURES: Mapping[bytes, str] = MappingProxyType(
    {b"RIFF": "wav", b"RF64": "rf64", b"BW64": "bw64"}
)
"""The container by the file's first four bytes."""
SIGNATURE_BYTES = 12
CHUNK_HEADER_BYTES = 8
MOST_HEADER_CHUNKS = 1_024
"""Chunks before the samples; each costs time, and no real writer makes nearly as many."""
LONGEST_HEADER = 1 << 16
"""Bytes that may precede the samples."""
LONGEST_READ_CHUNK = 1 << 16
SHORTEST_READ_CHUNK: Mapping[bytes, int] = MappingProxyType({b"fmt ": 16, b"ds64": 28})
"""The chunks that are read and not skipped."""
SUBFORMAT_OFFSET = 24
SUBFORMATS = (
    bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71"),
    bytes.fromhex("0000 2107 d311 8644 c8c1 ca00 0000"),  # the same, for ambisonics
)
"""The bytes that follow a format tag in the GUID of its sub-format."""
SIZE_IN_DS64 = 0xFFFFFFFF
SIZES_OF_STREAMS = (range(1), range(0x7FFFF000, 0x80000001), range(0xFFFFF000, 0x1_0000_0000))
"""Sizes that programs write when they do not know the size: 0, sox's, ffmpeg's and such."""
CHUNK_NAMES = {b"data", b"fmt ", b"fact", b"LIST", b"JUNK", b"bext", b"id3 ", b"ID3 ", b"iXML"}
WAV_FILES = "a RIFF/WAVE file"
TRAILER_BYTES = 1 + CHUNK_HEADER_BYTES
"""Bytes after the samples that tell whether a chunk follows, with a byte of padding or without."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The bytes of samples in a file, and a warning if its header gives another number."""

    size: int
    warning: AudioWarning | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a WAV: the format and the place of the samples.

    `declared_bytes` is the size that the header gives, which may be wrong; None if it was written
    before the size was known, so that everything after `data_start` is samples.
    """

    audio: AudioFormat
    data_start: int
    declared_bytes: int | None
    container: str = "wav"

    @property
    def declared_end(self) -> int | None:
        return None if self.declared_bytes is None else self.data_start + self.declared_bytes

    def available_bytes(self, file_bytes: int) -> int:
        """Return the bytes of samples in a file of `file_bytes`, which may be cut off."""
        there = max(0, file_bytes - self.data_start)
        return there if self.declared_bytes is None else min(self.declared_bytes, there)

    def extent(self, file_bytes: int, trailer: bytes) -> Extent:
        """Return the samples in a file of `file_bytes`.

        `trailer` are the bytes from `declared_end` on; the first `TRAILER_BYTES` are enough.
        If they begin no chunk, the declared size is too small, and all that follows is samples.
        """
        available, declared = self.available_bytes(file_bytes), self.declared_bytes
        if declared is None:
            return Extent(available, None if self.container == "wav" else _no_size(available))
        if file_bytes == self.declared_end:
            return Extent(available)
        if available < declared:
            return Extent(available, _wrong_size("truncated", declared, available))
        there = file_bytes - self.data_start
        if there - declared < CHUNK_HEADER_BYTES or _begins_chunk(trailer, there - declared):
            return Extent(available)
        return Extent(there, _wrong_size("size_lies", declared, there))


class HeaderReader:
    """Reads a WAV header from chunks of bytes as they arrive, without keeping what it skips.

    `feed` returns the header once it is complete, and None before. It raises `Permanent`:
    `invalid_file_type` for a file that is no WAV, `invalid_audio` for a broken or unsupported one.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._position = 0
        self._skip = 0
        self._padded = False
        self._chunks = 0
        self._container: str | None = None
        self._audio: AudioFormat | None = None
        self._long_sizes: dict[bytes, int] = {}

    def feed(self, chunk: bytes) -> Header | None:
        self._pending += chunk
        while self._advance():
            if (header := self._step()) is not None:
                return header
        return None

    def end(self) -> Permanent:
        """Return the error for a file that ended before its samples began."""
        if self._container is None:
            return unknown_file_type(bytes(self._pending), WAV_FILES)
        missing = "samples (no data chunk)" if self._audio else "format (no fmt chunk)"
        return _broken(f"The WAV ended before its {missing}.")

    def _advance(self) -> bool:
        """Drop the bytes to be skipped. Returns whether the next part to read is there whole."""
        dropped = min(self._skip, len(self._pending))
        self._take(dropped)
        self._skip -= dropped
        if self._skip:
            return False
        if self._container is None:
            return len(self._pending) >= SIGNATURE_BYTES
        if self._padded and len(self._pending) >= CHUNK_HEADER_BYTES:
            self._drop_padding()
        return len(self._pending) >= self._needed()

    def _drop_padding(self) -> None:
        """Drop the byte of padding after a chunk of odd size, which some writers forget."""
        self._padded = False
        if bytes(self._pending[:4]) not in CHUNK_NAMES:
            self._take(1)

    def _needed(self) -> int:
        if len(self._pending) < CHUNK_HEADER_BYTES:
            return CHUNK_HEADER_BYTES
        name, size = self._chunk()
        least = SHORTEST_READ_CHUNK.get(name)
        if least is None:
            return CHUNK_HEADER_BYTES
        if not least <= size <= LONGEST_READ_CHUNK:
            allowed = f"{least} to {LONGEST_READ_CHUNK}"
            raise _broken(
                f"The {name.decode().strip()} chunk has {size} bytes; allowed: {allowed}."
            )
        return CHUNK_HEADER_BYTES + size

    def _step(self) -> Header | None:
        if self._container is None:
            self._container = _container(self._take(SIGNATURE_BYTES))
            return None
        name, size = self._chunk()
        if name == b"data":
            return self._header(size, self._container)
        self._take(CHUNK_HEADER_BYTES)
        self._check_length(name, size)
        if name == b"fmt ":
            self._audio = _read_format(bytes(self._pending[:size]))
        elif name == b"ds64":
            self._long_sizes = _read_long_sizes(bytes(self._pending[:size]))
        self._skip, self._padded = size, size % 2 == 1
        return None

    def _check_length(self, name: bytes, size: int) -> None:
        """Raise `Permanent` (invalid_audio) if too much comes before the samples."""
        self._chunks += 1
        if self._chunks > MOST_HEADER_CHUNKS:
            raise _broken(
                f"The WAV has more than {MOST_HEADER_CHUNKS} chunks before its samples; "
                f"allowed: {MOST_HEADER_CHUNKS}."
            )
        if self._position + size > LONGEST_HEADER:
            raise _broken(
                f"The WAV's {name!r} chunk ends at byte {self._position + size}; "
                f"allowed before the samples: {LONGEST_HEADER} bytes."
            )

    def _header(self, size: int, container: str) -> Header:
        if self._audio is None:
            raise _broken("The WAV has samples before its format (no fmt chunk before data).")
        streamed = size == 2**64 - 1 or any(size in sizes for sizes in SIZES_OF_STREAMS)
        start = self._position + CHUNK_HEADER_BYTES
        return Header(self._audio, start, None if streamed else size, container)

    def _chunk(self) -> tuple[bytes, int]:
        """Return the name and the size of the next chunk."""
        name, size = struct.unpack_from("<4sI", self._pending)
        return name, self._long_sizes.get(name, size) if size == SIZE_IN_DS64 else size

    def _take(self, count: int) -> bytes:
        taken = bytes(self._pending[:count])
        del self._pending[:count]
        self._position += count
        return taken


def _container(start: bytes) -> str:
    if start[:4] not in SIGNATURES or start[8:] != b"WAVE":
        raise unknown_file_type(start, WAV_FILES)
    return SIGNATURES[start[:4]]


def _read_format(chunk: bytes) -> AudioFormat:
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == EXTENSIBLE:
        tag = _sub_format(chunk)
    encoding = ENCODINGS.get((tag, 0 if tag == GSM else bits))
    if encoding is None:
        allowed = ", ".join(known.name for known in ENCODINGS.values())
        raise _broken(f"WAV format {tag:#06x} with {bits} bits; allowed: {allowed}.")
    if channels == 0 or rate == 0:
        raise _broken(f"The header says {channels} channels at {rate} Hz.")
    if tag == GSM and channels > 1:
        raise _broken(f"The header says GSM with {channels} channels; allowed: 1.")
    return AudioFormat(encoding, channels, rate)


def _sub_format(chunk: bytes) -> int:
    """Return the format tag in the GUID of an extensible header."""
    guid = chunk[SUBFORMAT_OFFSET : SUBFORMAT_OFFSET + 16]
    if len(guid) < 16:  # noqa: PLR2004 - a GUID's
        raise _broken("The extensible fmt chunk ends before its sub-format.")
    if guid[2:] not in SUBFORMATS:
        raise _broken(f"The extensible fmt chunk's sub-format is {guid.hex()}, which is not known.")
    return int.from_bytes(guid[:2], "little")


def _read_long_sizes(chunk: bytes) -> dict[bytes, int]:
    """Return the 64-bit sizes of the chunks whose own size is `SIZE_IN_DS64`."""
    _, data_size, _, others = struct.unpack_from("<QQQI", chunk)
    table = chunk[28 : 28 + others * 12]
    whole = len(table) - len(table) % 12
    return dict(struct.iter_unpack("<4sQ", table[:whole])) | {b"data": data_size}


def _begins_chunk(trailer: bytes, rest: int) -> bool:
    """Return whether a chunk begins at once or after a byte of padding; `rest` bytes are left."""
    return any(
        len(head) == CHUNK_HEADER_BYTES
        and (head[:4] in CHUNK_NAMES or (_printable(head[:4]) and _size(head) <= rest))
        for head in (trailer[:CHUNK_HEADER_BYTES], trailer[1:TRAILER_BYTES])
    )


def _printable(name: bytes) -> bool:
    return name.isascii() and name.decode("ascii").isprintable()


def _size(head: bytes) -> int:
    return int.from_bytes(head[4:], "little")


def _wrong_size(code: str, declared: int, there: int) -> AudioWarning:
    return AudioWarning(
        code=code,
        message=f"The header says {declared} bytes of samples and {there} are there; "
        "what is there was used.",
    )


def _no_size(there: int) -> AudioWarning:
    """Return the warning about an RF64 or BW64 file whose `ds64` chunk gives no size."""
    return AudioWarning(
        code="size_missing",
        message=f"The header does not say how many bytes of samples there are, and {there} are "
        "there; what is there was used.",
    )


def _broken(message: str) -> Permanent:
    return Permanent("invalid_audio", message)
