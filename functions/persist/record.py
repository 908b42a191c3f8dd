"""The ports to the record: what persist writes and what the sweep looks after."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from events import (
    DeliveryParked,
    Event,
    RecordingCompleted,
    RecordingFailed,
    RecordingReceived,
    RecordingSplit,
    TranscriptSummarized,
)
from events.documents import Levels, Summary, Transcript


class Record(Protocol):
    """What persist writes. Every method may be repeated and changes nothing the second time.

    A run that is completed, failed or cancelled stays so. `at` is the time of the event, None for
    now; what it tells of was reached then, unless the run had ended before. All raise
    `errors.Unavailable` while the database is away.
    """

    async def reach(self, event: Event, stage: str, at: datetime | None = None) -> None:
        """Note that the run reached a stage; a run that waited in the queue is now processing."""
        ...

    async def describe(
        self, event: RecordingSplit, levels: Levels, at: datetime | None = None
    ) -> None:
        """Write what split found out about the audio; the run has reached that stage."""
        ...

    async def complete(
        self,
        event: TranscriptSummarized,
        transcript: Transcript,
        summary: Summary | None,
        at: datetime | None = None,
    ) -> bool:
        """Write transcript, summary and final state in one transaction.

        True if the run is completed, now or before; False if it ended otherwise or is unknown.
        """
        ...

    async def fail(self, event: DeliveryParked, transcript: Transcript | None) -> bool:
        """Write the failure, and the transcript if there is one.

        True if the run has failed for this reason, now or before; False otherwise.
        """
        ...


@dataclass(frozen=True, slots=True)
class Unannounced:
    """A run whose latest event may be missing at the broker, and how often it was sent again."""

    event: RecordingReceived | RecordingCompleted | RecordingFailed
    redrives: int


class Unfinished(Protocol):
    """What the sweep looks after, for one sweep at a time."""

    async def unannounced(self, before: datetime, limit: int) -> Sequence[Unannounced]:
        """Runs not looked at since `before`: still under way, or ended without an announcement."""
        ...

    async def announced(self, run: Unannounced) -> None:
        """The broker has the event that ends this run."""
        ...

    async def redriven(self, run: Unannounced) -> None:
        """The event is about to be sent once more."""
        ...
