"""A recording's values that ingest and the record share."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class UploadedAudio:
    """The properties of a recording that has arrived; None where only decoding can tell.

    `size` in bytes, `duration` in seconds, `sample_rate` in Hz.
    """

    file_name: str | None
    files: int
    size: int
    sha256: str
    container: str
    channels: int | None
    sample_rate: int | None
    duration: float | None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list, newest first: just after a recording, or before it if `backwards`."""

    created_at: datetime
    recording: UUID
    backwards: bool = False
