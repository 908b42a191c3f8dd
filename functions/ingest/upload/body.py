"""The body of an upload, a form or bare audio, as one stream of chunks of fields."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from functions.ingest.upload.multipart import FieldChunk, FormReader
from shared.errors import Permanent

RAW_FIELD = "audio"
FORM = "multipart/form-data"
LONGEST_CONTENT_TYPE = 1_000
MOST_FILES = 2
FORM_OVERHEAD = 1 << 20
"""Bytes of a form besides its files."""


class BodyReader(Protocol):
    """Splits a body into fields: `feed` it all bytes in order, then `end`.

    Both raise `Permanent` for a malformed or incomplete body.
    """

    def feed(self, body: bytes) -> list[FieldChunk]: ...

    def end(self) -> None: ...


@dataclass
class RawReader:
    """Reads a body that is the recording itself, as the field `audio`."""

    begun: bool = False

    def feed(self, body: bytes) -> list[FieldChunk]:
        chunk = FieldChunk(RAW_FIELD, None, body, first=not self.begun)
        self.begun = True
        return [chunk]

    def end(self) -> None:
        if not self.begun:
            raise Permanent("missing_file", "The body is empty; send the recording in it.")


def reader_of(content_type: str) -> BodyReader:
    """Return the reader for a form, or for the bare bytes of an audio file.

    Raises `Permanent` for any other content type.
    """
    if len(content_type) > LONGEST_CONTENT_TYPE:
        raise Permanent(
            "invalid_request",
            f"The content type has {len(content_type)} characters; "
            f"allowed: {LONGEST_CONTENT_TYPE}.",
        )
    kind = _kind(content_type)
    if kind == FORM:
        return FormReader(content_type)
    if kind.startswith("audio/"):
        return RawReader()
    raise Permanent(
        "missing_file",
        f"The content type is {content_type or 'none'!r}; allowed: multipart/form-data with the "
        "recording in a field `audio` or `file`, or the recording itself as audio/wav or such.",
    )


async def with_timeout(body: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    """Yield the same bytes. Raises `Permanent` if none arrive for `seconds`."""
    while True:
        try:
            async with asyncio.timeout(seconds):
                part = await anext(body, None)
        except TimeoutError:
            raise Permanent(
                "request_timeout", f"No byte of the body came within the {seconds:g} s allowed."
            ) from None
        if part is None:
            return
        yield part


async def field_chunks(reader: BodyReader, body: AsyncIterator[bytes]) -> AsyncIterator[FieldChunk]:
    """Yield the chunks in order. Raises `Permanent` if the body is malformed or incomplete."""
    async for part in body:
        if part:
            for chunk in reader.feed(part):
                yield chunk
    reader.end()


def check_encoding(content_encoding: str | None) -> None:
    """Raise `Permanent` for a compressed body."""
    if content_encoding and content_encoding.strip().lower() != "identity":
        raise Permanent(
            "unsupported_media_type",
            f"The content encoding is {content_encoding!r}; allowed: identity (send it unpacked).",
        )


def check_length(headers: Mapping[str, str], max_bytes: int) -> None:
    """Raise `Permanent` if the declared length is too large.

    A form may hold two files of up to `max_bytes` each; their number is known as they arrive.
    """
    length = headers.get("content-length", "")
    form = _kind(headers.get("content-type", "")) == FORM
    allowed = most_bytes(max_bytes, MOST_FILES) if form else max_bytes
    if length.isdigit() and int(length) > allowed:
        raise too_large(int(length), allowed)


def most_bytes(max_bytes: int, files: int) -> int:
    """Return the bytes that a form with `files` files may have."""
    return max_bytes * files + FORM_OVERHEAD


def too_large(found: int, allowed: int) -> Permanent:
    """Return the error for a body of `found` bytes where `allowed` are allowed."""
    return Permanent("file_too_large", f"The body has {found} bytes; allowed: {allowed}.")


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
