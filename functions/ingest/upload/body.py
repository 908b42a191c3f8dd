"""The bodies an upload may come in, as one stream of pieces of fields."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from functions.ingest.upload.multipart import FormReader, Piece
from shared.errors import Permanent

RAW_FIELD = "audio"
OVERHEAD = 1 << 20
"""Bytes of a form that are not its files."""


class BodyReader(Protocol):
    """Feed it the body's bytes in order; `end` raises `Permanent` if the body is not whole."""

    def feed(self, body: bytes) -> list[Piece]: ...

    def end(self) -> None: ...


@dataclass
class RawReader:
    """A body that is one recording and nothing else; it comes out as the field `audio`."""

    begun: bool = False

    def feed(self, body: bytes) -> list[Piece]:
        piece = Piece(RAW_FIELD, None, body, first=not self.begun)
        self.begun = True
        return [piece]

    def end(self) -> None:
        if not self.begun:
            raise Permanent("missing_file", "The body is empty; send the recording in it.")


def reader_of(content_type: str) -> BodyReader:
    """The reader for a content type: a form, or the bare bytes of an audio file."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return FormReader(content_type)
    if kind.startswith("audio/"):
        return RawReader()
    raise Permanent(
        "missing_file",
        f"The content type is {content_type or 'none'!r}; allowed: multipart/form-data with the "
        "recording in a field `audio` or `file`, or the recording itself as audio/wav or such.",
    )


async def pieces_of(reader: BodyReader, body: AsyncIterator[bytes]) -> AsyncIterator[Piece]:
    """The pieces in order. Raise `Permanent` if the body is malformed or ends too early."""
    async for part in body:
        if part:
            for piece in reader.feed(part):
                yield piece
    reader.end()


def check_length(content_length: str | None, max_bytes: int) -> None:
    """Refuse a body that says it is too large before its bytes come.

    A form may be larger than the file in it; what is in it is counted as it arrives.
    """
    if content_length and content_length.isdigit() and int(content_length) > max_bytes + OVERHEAD:
        raise Permanent(
            "file_too_large", f"The body has {content_length} bytes; allowed: {max_bytes}."
        )
