"""Where a batch shows how far its recordings are."""

from typing import Protocol

from infra.client.client import Session
from infra.client.recordings import Recording


class ProgressDisplay(Protocol):
    """Where progress is shown."""

    def begin(self, recording: Recording) -> None:
        """Its upload begins."""
        ...

    def update(self, recording: Recording, session: Session) -> None:
        """How far it is now."""
        ...

    def end(self, recording: Recording, verdict: str, trouble: str) -> None:
        """It is done with: `verdict` in a word; `trouble` says why it is not completed."""
        ...
