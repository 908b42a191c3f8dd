"""The upload validator: checks a file as its bytes arrive, before anything is decoded."""

from shared.audio.compressed import (
    ID3_HEADER_BYTES,
    LONGEST_OPENING,
    AudioProperties,
    OpeningReader,
    id3_length,
    mp3,
    opening_reader,
)
from shared.audio.formats import ENCODINGS, GSM, Limits, unknown_file_type
from shared.audio.wav import SIGNATURE_BYTES, SIGNATURES, TRAILER_BYTES, Header, HeaderReader
from shared.errors import Permanent

__all__ = ["AudioProperties", "UploadValidator"]

MOST_TAGS = 8


class UploadValidator:
    """Checks one file: `feed` it all bytes in order, then `finish`.

    Both raise `Permanent` as soon as the file cannot become a recording: `invalid_file_type` for
    a kind that is not accepted, `invalid_audio` for a broken file, `audio_constraints` for one
    outside the limits.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._start = b""
        self._skip = 0
        self._tags = 0
        self._opening: OpeningReader | None = None
        self._wave: _WavValidator | None = None
        self._properties: AudioProperties | None = None

    @property
    def properties(self) -> AudioProperties | None:
        """The properties read so far; None until the kind of file is clear."""
        return self._properties if self._wave is None else self._wave.properties

    @property
    def header(self) -> Header | None:
        """The header of a WAV; None until it has arrived, and for other kinds."""
        return None if self._wave is None else self._wave.header

    def feed(self, chunk: bytes) -> None:
        if self._wave is not None:
            self._wave.feed(chunk)
        elif self._properties is None:
            self._open(chunk)

    def finish(self) -> AudioProperties:
        """Return the properties of the whole file."""
        if self._wave is not None:
            return self._wave.finish()
        if self._properties is not None:
            return self._properties
        if self._opening not in (None, mp3):  # four bytes alone make no MP3
            raise Permanent("invalid_audio", "The file ended before its audio began.")
        raise unknown_file_type(self._start)

    def _open(self, chunk: bytes) -> None:
        """Determine the kind of file from the first bytes after any ID3v2 tags."""
        skipped = min(self._skip, len(chunk))
        self._skip -= skipped
        self._start += chunk[skipped:]
        if self._tags:
            self._start = self._start.lstrip(b"\0")
        if len(self._start) < SIGNATURE_BYTES:
            return
        if self._tags < MOST_TAGS and (tag := id3_length(self._start[:ID3_HEADER_BYTES])):
            rest, self._start = self._start, b""
            self._skip, self._tags = tag, self._tags + 1
            self._open(rest)
        elif self._start[:4] in SIGNATURES and not self._tags:
            self._wave = _WavValidator(self._limits)
            self._wave.feed(self._start)
        else:
            self._recognise()

    def _recognise(self) -> None:
        self._opening = self._opening or opening_reader(self._start)
        self._properties = self._opening(self._start[:LONGEST_OPENING])
        if self._properties is not None:
            self._start = b""
            _check(self._properties, self._limits)


def _check(properties: AudioProperties, limits: Limits) -> None:
    if properties.channels is not None and properties.sample_rate is not None:
        if properties.channels == 0 or properties.sample_rate == 0:
            found = f"{properties.channels} channels at {properties.sample_rate} Hz"
            raise Permanent("invalid_audio", f"The header says {found}.")
        limits.check_layout(properties.channels, properties.sample_rate)
    if properties.duration is not None:
        limits.check_duration(properties.duration)


class _WavValidator:
    """Checks a WAV by its header and by the bytes that arrive, whatever size the header gives."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._reader = HeaderReader()
        self._size = 0
        self._trailer = b""
        self.header: Header | None = None

    @property
    def properties(self) -> AudioProperties | None:
        return None if self.header is None else _properties(self.header, None)

    def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self.header is None:
            self.header = self._reader.feed(chunk)
            if self.header is None:
                return
            self._limits.check_format(self.header.audio)
        self._keep_trailer(self.header, chunk)
        self._check_longest(self.header)

    def finish(self) -> AudioProperties:
        if self.header is None:
            raise self._reader.end()
        available = self.header.extent(self._size, self._trailer).size
        seconds = self.header.audio.seconds(available)
        self._limits.check_duration(seconds)
        return _properties(self.header, seconds)

    def _keep_trailer(self, header: Header, chunk: bytes) -> None:
        """Keep the first bytes after the declared samples."""
        missing = TRAILER_BYTES - len(self._trailer)
        end = header.declared_end
        if missing and end is not None and self._size > end:
            self._trailer += chunk[max(0, len(chunk) - (self._size - end)) :][:missing]

    def _check_longest(self, header: Header) -> None:
        audio, limit = header.audio, self._limits.max_seconds
        if audio.seconds(header.available_bytes(self._size)) > limit:
            if header.declared_bytes is not None:
                self._limits.check_duration(audio.seconds(header.declared_bytes))
            raise self._limits.too_long()


def _properties(header: Header, duration: float | None) -> AudioProperties:
    audio = header.audio
    compressed = audio.encoding is ENCODINGS[GSM, 0]
    container = "wav49" if compressed else header.container
    return AudioProperties(container, audio.channels, audio.sample_rate, duration)
