"""One upload: its audio passes through as it arrives, and is checked on the way.

Both speakers come in one file (`audio` or `file`), or each in a mono file (`left` and `right`).
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from functions.ingest.upload.body import BodyReader, field_chunks, most_bytes, too_large
from functions.ingest.upload.digest import StreamDigest
from functions.ingest.upload.fields import FIELD_READERS
from functions.ingest.upload.multipart import FieldChunk
from shared.audio.formats import Limits
from shared.audio.validator import AudioProperties, UploadValidator
from shared.errors import Permanent
from shared.recording import UploadedAudio

ONE_FILE = ("audio", "file")
TWO_FILES = ("left", "right")
LONGEST_FIELD = 64 << 10
LONGEST_FIELDS = 256 << 10
"""Bytes of all fields together that are no files."""


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file that has arrived: its size in bytes, its digest and its properties."""

    file_name: str | None
    size: int
    sha256: str
    properties: AudioProperties


class AudioFile:
    """An audio file of the body as it arrives. Its `chunks` must be read to their end, once."""

    def __init__(
        self, chunk: FieldChunk, rest: AsyncIterator[FieldChunk], limits: Limits, max_bytes: int
    ) -> None:
        self.field = chunk.field
        self.next: FieldChunk | None = None
        self._first, self._rest = chunk, rest
        self._validator = UploadValidator(limits)
        self._max_bytes = max_bytes
        self._digest = StreamDigest()
        self._size = 0
        self._received: ReceivedFile | None = None

    @property
    def is_right(self) -> bool:
        return self.field == "right"

    @property
    def received(self) -> ReceivedFile:
        """The file's description; its chunks must have been read."""
        if self._received is None:
            raise AssertionError("The chunks were not read to their end.")
        return self._received

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes. Raises `Permanent` once it can no longer become a recording."""
        yield await self._take(self._first.content)
        async for chunk in self._rest:
            if chunk.first:
                self.next = chunk
                break
            yield await self._take(chunk.content)
        properties = self._validator.finish()
        sha256 = await self._digest.finish()
        self._received = ReceivedFile(self._first.file_name, self._size, sha256, properties)

    async def _take(self, content: bytes) -> bytes:
        self._size += len(content)
        if self._size > self._max_bytes:
            raise Permanent(
                "file_too_large", f"The file is larger than the {self._max_bytes} bytes allowed."
            )
        self._validator.feed(content)
        await self._digest.feed(content)
        return content


class Upload:
    """Reads a request's body once: yields its files, and collects its other fields.

    `fields` (repeated ones in order) and `audio` are complete when `files` has ended.
    """

    def __init__(self, reader: BodyReader, limits: Limits, max_bytes: int) -> None:
        self._reader = reader
        self._limits = limits
        self._max_bytes = max_bytes
        self._received: dict[str, ReceivedFile] = {}
        self._files = 0
        self._fields: dict[str, list[bytearray]] = {}
        self._field_bytes = 0
        self._body_bytes = 0

    async def files(self, body: AsyncIterator[bytes]) -> AsyncIterator[AudioFile]:
        """Yield the audio files in order; read the chunks of each before the next.

        Raises `Permanent` if they do not make one recording.
        """
        chunks = field_chunks(self._reader, self._counted(body))
        chunk = await anext(chunks, None)
        while chunk is not None:
            if chunk.field in (*ONE_FILE, *TWO_FILES):
                self._files += 1
                file = AudioFile(chunk, chunks, self._limits_of(chunk.field), self._max_bytes)
                yield file
                self._received[file.field] = file.received
                chunk = file.next
            else:
                self._take_field(chunk)
                chunk = await anext(chunks, None)
        self._check_complete()

    @property
    def fields(self) -> dict[str, list[str]]:
        """The other fields' values."""
        return {
            name: [value.decode("utf-8", "replace") for value in values]
            for name, values in self._fields.items()
        }

    @property
    def audio(self) -> UploadedAudio:
        """The uploaded files as one recording."""
        first, *others = self._received.values()
        both = _both(first.properties, others[0].properties) if others else first.properties
        digests = [first.sha256, *(other.sha256 for other in others)]
        return UploadedAudio(
            file_name=first.file_name,
            files=len(digests),
            size=first.size + sum(other.size for other in others),
            sha256=_digest_of(digests),
            container=both.container,
            channels=both.channels,
            sample_rate=both.sample_rate,
            duration=both.duration,
        )

    async def _counted(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the same bytes. Raises `Permanent` once they exceed what the files so far allow."""
        async for part in body:
            self._body_bytes += len(part)
            allowed = most_bytes(self._max_bytes, max(1, self._files))
            if self._body_bytes > allowed:
                raise too_large(self._body_bytes, allowed)
            yield part

    def _limits_of(self, field: str) -> Limits:
        came = set(self._received)
        if came and not (field in TWO_FILES and came < set(TWO_FILES) and field not in came):
            raise Permanent(
                "invalid_request",
                f"The form has `{'`, `'.join(came)}` and then `{field}`; send one of `audio` and "
                "`file`, or both `left` and `right`.",
            )
        return replace(self._limits, channels=(1,)) if field in TWO_FILES else self._limits

    def _check_complete(self) -> None:
        came = set(self._received)
        if not came:
            found = ", ".join(sorted(self._fields)) or "none"
            raise Permanent(
                "missing_file", f"The form's fields are: {found}; needed: `audio` or `file`."
            )
        if came < set(TWO_FILES):
            raise Permanent(
                "missing_file",
                f"The form has `{came.pop()}` only; needed: both `left` and `right`.",
            )

    def _take_field(self, chunk: FieldChunk) -> None:
        values = self._fields.setdefault(chunk.field, [])
        if chunk.first:
            values.append(bytearray())
        if chunk.file_name is not None and chunk.field not in FIELD_READERS:
            return  # a file nobody asked for is not kept
        values[-1] += chunk.content
        self._field_bytes += len(chunk.content)
        if len(values[-1]) > LONGEST_FIELD:
            raise _too_long(f"The field `{chunk.field}` is", LONGEST_FIELD)
        if self._field_bytes > LONGEST_FIELDS:
            raise _too_long("The fields are together", LONGEST_FIELDS)


def _too_long(what: str, allowed: int) -> Permanent:
    return Permanent("invalid_request", f"{what} longer than the {allowed} bytes allowed.")


def _digest_of(digests: list[str]) -> str:
    """Return the file's digest; for two files, the digest of both digests."""
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def _both(left: AudioProperties, right: AudioProperties) -> AudioProperties:
    """Return two mono files as one recording of the longer duration and the left sample rate."""
    lengths = (left.duration, right.duration)
    durations = [length for length in lengths if length is not None]
    return AudioProperties(
        container=left.container,
        channels=2,
        sample_rate=left.sample_rate,
        duration=max(durations) if len(durations) == len(lengths) else None,
    )
