"""Where a batch shows how far its recordings are."""

from typing import Protocol

from infra.client.client import Session
from infra.client.recordings import Recording


class ProgressDisplay(Protocol):
    """A display of the recordings' progress."""

    def begin(self, recording: Recording) -> None:
        """Show that a recording's upload begins."""
        ...

    def update(self, recording: Recording, session: Session) -> None:
        """Show how far a recording is."""
        ...

    def end(self, recording: Recording, verdict: str, reason: str) -> None:
        """Show the outcome: the verdict, and the reason if it is not completed."""
        ...
