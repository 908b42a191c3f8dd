"""The ports to the record: what persist writes and what the sweep looks after."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from events import (
    DeliveryParked,
    Event,
    RecordingSplit,
    TranscriptSummarized,
)
from events.documents import Levels, Summary, Transcript


class RecordWriter(Protocol):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class UnannouncedRun:
    """A run that is under way, or has ended without the broker being known to have the news.

    `events` are those on record, in the order of the pipeline: of the stages reached, or, once
    the run has ended, the one that announces it. `ended` is the type of that one. `held_since` is
    when the sweep first found a delivery that its consumer holds.
    """

    events: Sequence[Event]
    reached_at: datetime
    ended: type[Event] | None = None
    redrives: int = 0
    held_since: datetime | None = None
    announced: bool = False
    traceparent: str | None = None


class UnannouncedRuns(Protocol):
    """The runs that the sweep looks after. Both methods raise `errors.Unavailable`."""

    async def claim(self, before: datetime, limit: int) -> Sequence[UnannouncedRun]:
        """Take the runs that nobody looked at since `before`; no other sweep takes them as well.

        A claim ends by itself: a run that a killed sweep had claimed is due again like any other.
        """
        ...

    async def save(self, runs: Sequence[UnannouncedRun]) -> None:
        """Write `redrives`, `held_since` and `announced` of the runs."""
        ...
