"""Where a batch shows how far its recordings are."""

from typing import Protocol

from infra.client.audio_files import AudioFile
from infra.client.client import RecordingBody


class ProgressDisplay(Protocol):
    """A display of the recordings' progress."""

    def begin(self, recording: AudioFile) -> None:
        """Show that a recording's upload begins."""
        ...

    def update(self, recording: AudioFile, session: RecordingBody) -> None:
        """Show how far a recording is."""
        ...

    def end(self, recording: AudioFile, status: str, reason: str) -> None:
        """Show the outcome: the status, and the reason if it is not completed."""
        ...
