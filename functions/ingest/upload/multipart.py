"""The reader of multipart/form-data bodies (RFC 7578), chunk by chunk as they arrive."""

from dataclasses import dataclass

from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from shared.errors import Permanent

MOST_PARTS = 100


@dataclass(frozen=True, slots=True)
class FieldChunk:
    """Some bytes of one field. The first chunk of a field is marked `first`."""

    field: str
    file_name: str | None
    content: bytes
    first: bool


class FormReader:
    """Splits a form into fields: `feed` it the body's bytes in order, then `end`."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or b"boundary" not in options:
            raise Permanent(
                "invalid_request", f"The content type {content_type!r} has no boundary."
            )
        self._chunks: list[FieldChunk] = []
        self._header_name = b""
        self._header_value = b""
        self._field = ""
        self._file_name: str | None = None
        self._parts = 0
        self._parser = self._parser_of(options[b"boundary"])

    def _parser_of(self, boundary: bytes) -> MultipartParser:
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": lambda: self._add(b"", first=True),
                    "on_part_data": lambda content, start, end: self._add(content[start:end]),
                },
            )
        except FormParserError as error:
            raise Permanent(
                "invalid_request", f"The content type is malformed: {error}."
            ) from error

    def feed(self, body: bytes) -> list[FieldChunk]:
        try:
            self._parser.write(body)
        except MultipartParseError as error:
            raise Permanent(
                "invalid_request", f"The multipart body is malformed: {error}"
            ) from error
        chunks, self._chunks = self._chunks, []
        return chunks

    def end(self) -> None:
        """Raise `Permanent` unless the body ended with its closing boundary."""
        if self._parser.state is MultipartState.START:
            raise Permanent("missing_file", "The body is empty; send the recording in `audio`.")
        if self._parser.state is not MultipartState.END:
            raise Permanent("invalid_request", "The multipart body ends before its last boundary.")

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Permanent("invalid_request", f"The form has more than {MOST_PARTS} fields.")
        self._field, self._file_name = "", None

    def _on_header_field(self, content: bytes, start: int, end: int) -> None:
        self._header_name += content[start:end]

    def _on_header_value(self, content: bytes, start: int, end: int) -> None:
        self._header_value += content[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_value)
            self._field = options.get(b"name", b"").decode("utf-8", "replace")
            name = options.get(b"filename")
            self._file_name = None if name is None else _readable(name)
        self._header_name = self._header_value = b""

    def _add(self, content: bytes, *, first: bool = False) -> None:
        self._chunks.append(FieldChunk(self._field, self._file_name, content, first))


def _readable(name: bytes) -> str:
    """Return the file's name without NUL, which PostgreSQL cannot store."""
    return name.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
