"""The ports to the record: what persist writes, and the runs that the sweep examines."""

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
    """Writes stages and ends of runs. Every method may be repeated without further effect.

    A run that is completed, failed or cancelled stays so. `at` is the time of the event, None for
    now; its stage was reached then, unless the run had ended before. All raise
    `errors.Unavailable` while the database is away.
    """

    async def reach(self, event: Event, stage: str, at: datetime | None = None) -> None:
        """Write that the run reached a stage; a queued run is processing from then on."""
        ...

    async def describe(
        self, event: RecordingSplit, levels: Levels, at: datetime | None = None
    ) -> None:
        """Write what split measured of the audio; the run has reached that stage."""
        ...

    async def complete(
        self,
        event: TranscriptSummarized,
        transcript: Transcript,
        summary: Summary | None,
        at: datetime | None = None,
    ) -> bool:
        """Write transcript, summary and final state in one transaction.

        Returns True if the run is completed with the same `degraded`, now or before; False if it
        ended otherwise or is unknown.
        """
        ...

    async def complete_without_summary(
        self,
        event: TranscriptSummarized,
        transcript: Transcript,
        degraded: Sequence[str],
        at: datetime | None = None,
    ) -> bool:
        """Write transcript and final state of a run whose summary was given up, as `complete` does.

        `event` stands for the one that summarize never sent.
        """
        ...

    async def fail(self, event: DeliveryParked, transcript: Transcript | None) -> bool:
        """Write the failure, and the transcript if there is one.

        Returns True if the run has failed for this reason, now or before; False otherwise.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that has not ended, or whose end the broker may not have yet.

    `events` are those on record, in the order of the pipeline: of the stages reached, or, once
    the run has ended, the one that announces it, whose type is `ended`. `held_since` is when the
    sweep first found a delivery that its consumer holds.
    """

    events: Sequence[Event]
    reached_at: datetime
    ended: type[Event] | None = None
    redrives: int = 0
    held_since: datetime | None = None
    announced: bool = False
    traceparent: str | None = None


class OpenRuns(Protocol):
    """The runs that the sweep examines. Both methods raise `errors.Unavailable`."""

    async def claim(self, before: datetime, limit: int) -> Sequence[OpenRun]:
        """Claim up to `limit` runs not examined since `before`; no other sweep gets them as well.

        A claim lapses: a run that a killed sweep had claimed is due again like any other.
        """
        ...

    async def save(self, runs: Sequence[OpenRun]) -> None:
        """Write `redrives`, `held_since` and `announced` of the runs."""
        ...
