"""One upload: the audio goes through as it arrives, and is judged on the way."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from functions.ingest.errors import Refused
from functions.ingest.form import FormReader, Piece
from shared.formats import AudioFormat, Limits
from shared.wav import Header, HeaderReader

AUDIO_FIELDS = ("audio", "file")
LONGEST_FIELD = 64 << 10
MOST_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Audio:
    """What is known of a recording once it has arrived. `duration` in seconds."""

    file_name: str | None
    size: int
    sha256: str
    audio: AudioFormat
    duration: float


class Upload:
    """Reads the request's body once; `chunks` are the audio's bytes, `audio` their description.

    `chunks` raises `Permanent` (whose code the API answers with) as soon as the upload cannot
    become a recording any more, so that whoever stores the chunks stores nothing.
    """

    def __init__(self, content_type: str, limits: Limits, max_bytes: int) -> None:
        self._form = FormReader(content_type)
        self._limits = limits
        self._max_bytes = max_bytes
        self._header_reader = HeaderReader()
        self._header: Header | None = None
        self._digest = hashlib.sha256()
        self._size = 0
        self._audio_field: str | None = None
        self._file_name: str | None = None
        self._fields: dict[str, bytes] = {}

    async def chunks(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The audio's bytes, while the other fields are put aside."""
        async for part in body:
            for piece in self._form.feed(part):
                if piece.field in AUDIO_FIELDS:
                    self._take_audio(piece)
                    yield piece.content
                else:
                    self._take_field(piece)
        self._form.end()
        self._limits.check_duration(self.audio.duration)

    @property
    def audio(self) -> Audio:
        """The description. Raise `Permanent` if the header never came."""
        if self._audio_field is None:
            found = ", ".join(sorted(self._fields)) or "none"
            raise Refused(
                "missing_file", f"The form's fields are: {found}; needed: `audio` or `file`."
            )
        if self._header is None:
            raise self._header_reader.end()
        present = self._header.present_bytes(self._size)
        audio = self._header.audio
        return Audio(
            self._file_name, self._size, self._digest.hexdigest(), audio, audio.seconds(present)
        )

    def _take_audio(self, piece: Piece) -> None:
        if piece.first and self._audio_field is not None:
            raise Refused(
                "invalid_request",
                f"The form has `{self._audio_field}` and then `{piece.field}`; send one recording.",
            )
        self._audio_field, self._file_name = piece.field, piece.file_name
        self._digest.update(piece.content)
        self._size += len(piece.content)
        if self._size > self._max_bytes:
            raise Refused(
                "file_too_large", f"The file is larger than the {self._max_bytes} bytes allowed."
            )
        if self._header is None:
            self._judge_header(piece.content)

    def _judge_header(self, content: bytes) -> None:
        self._header = self._header_reader.feed(content)
        if self._header is not None:
            audio = self._header.audio
            self._limits.check_format(audio)
            self._limits.check_duration(audio.seconds(self._header.declared_bytes))

    def _take_field(self, piece: Piece) -> None:
        content = self._fields.get(piece.field, b"")
        if piece.file_name is None:  # a file nobody asked for is not kept
            content += piece.content
        if len(content) > LONGEST_FIELD:
            raise Refused(
                "invalid_request", f"A field is longer than the {LONGEST_FIELD} bytes allowed."
            )
        self._fields[piece.field] = content
        if len(self._fields) > MOST_FIELDS:
            raise Refused("invalid_request", f"The form has more than {MOST_FIELDS} fields.")
