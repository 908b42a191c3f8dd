"""The stages that a run has reached, in the order of the pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from events import Event
from events.base import Channel
from shared.record.connection import Connection

PIPELINE = ("received", "split", "transcribe", "merge", "summarize")
END_STAGES = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class ReachedStage:
    """A stage that a run has reached.

    `sequence` is its number in the order of writing, from 1; `reached_at` is the time of its event,
    which may be written late.
    """

    stage: str
    channel: Channel | Literal[""]
    sequence: int
    reached_at: datetime

    @property
    def position(self) -> tuple[int, str, str]:
        """The sort key of the pipeline's order; an unknown stage comes just before the end."""
        if self.stage in PIPELINE:
            return PIPELINE.index(self.stage), "", self.channel
        return len(PIPELINE) + (self.stage in END_STAGES), self.stage, self.channel


async def reach(
    connection: Connection, event: Event, stage: str, at: datetime | None = None
) -> bool:
    """Write that the event's run reached a stage, `at` None: now. Returns whether it is new.

    The event is kept with the stage, for the sweep to send it again. An unknown run reaches none.
    `at` is another machine's time: a later one than the database's counts as its present time.
    No stage is later than the run's end: those of a completed run are dated back to it, and later
    ones of a run that failed or was cancelled are not written. Sequence numbers count the stages of
    a recording from 1 without gaps: the recording's row is locked while the next one is taken.
    """
    await connection.execute("SELECT FROM recordings WHERE id = %s FOR UPDATE", [event.recording])
    added = await connection.execute(
        """
        INSERT INTO stages (recording, run, tenant, stage, channel, sequence, reached_at, event)
        SELECT recording, run, tenant, %(stage)s, %(channel)s,
               1 + coalesce((SELECT max(sequence) FROM stages WHERE recording = %(recording)s), 0),
               least(%(at)s, clock_timestamp(), finished_at), %(event)s
        FROM runs
        WHERE recording = %(recording)s AND run = %(run)s
          AND (finished_at IS NULL OR state = 'completed'
               OR %(at)s::timestamptz <= finished_at)
        ON CONFLICT (recording, run, stage, channel) DO NOTHING
        """,
        {
            "recording": event.recording,
            "run": event.run,
            "stage": stage,
            "channel": event.part,
            "at": at,
            "event": Jsonb(event.model_dump(mode="json")),
        },
    )
    return added.rowcount == 1


async def fetch_stages(connection: Connection, recording: UUID, run: int) -> Sequence[ReachedStage]:
    """Return the stages that the run has reached, in the order of the pipeline, its end last."""
    cursor = connection.cursor(row_factory=class_row(ReachedStage))
    await cursor.execute(
        """
        SELECT stage, channel, sequence, reached_at FROM stages
        WHERE recording = %s AND run = %s
        """,
        [recording, run],
    )
    return sorted(await cursor.fetchall(), key=lambda stage: stage.position)
