"""The runs of recordings: their beginning, and their end, which is final."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from events import DeliveryParked, Event
from events.documents import Engine, Summary, Transcript
from shared.record.connection import Connection

RECENT_RUNS = 100
"""Latest runs that the real-time factor is computed from."""


@dataclass(frozen=True, slots=True)
class RunFailure:
    """The reason why a run failed."""

    function: str
    error_class: str
    error_code: str
    attempts: int

    @classmethod
    def of(cls, event: DeliveryParked) -> "RunFailure":
        return cls(event.function, event.error_class, event.error_code, event.attempts)


@dataclass(frozen=True, slots=True)
class RunEnding:
    """The end of a run: its state, and the results that are searched or counted."""

    state: Literal["completed", "failed", "cancelled"]
    degraded: Sequence[str] = ()
    failure: RunFailure | None = None
    transcript: Transcript | None = None
    summary: Summary | None = None


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended: when, its own length and its audio's, both in seconds."""

    finished_at: datetime
    seconds: float
    duration: float | None


@dataclass(frozen=True, slots=True)
class EnginesUsed:
    """The engines that a run used; None where none ran."""

    recognizer: dict[str, Any] | None = field(default=None)
    summarizer: dict[str, Any] | None = field(default=None)


async def enqueue(
    connection: Connection, event: Event, age: float, traceparent: str | None = None
) -> None:
    """Insert a queued run that began `age` seconds ago. `traceparent` is kept for its re-drives."""
    await connection.execute(
        """
        INSERT INTO runs (recording, run, tenant, created_at, traceparent)
        VALUES (%s, %s, %s, clock_timestamp() - make_interval(secs => %s), %s)
        """,
        [event.recording, event.run, event.tenant, age, traceparent],
    )


async def begin(connection: Connection, event: Event) -> None:
    """Move a queued run to processing."""
    await connection.execute(
        """
        UPDATE runs SET state = 'processing'
        WHERE recording = %s AND run = %s AND state = 'queued'
        """,
        [event.recording, event.run],
    )


async def is_under_way(connection: Connection, event: Event) -> bool:
    """Return whether the run exists and has not ended, which holds until the transaction does."""
    # first the recording's row, as stages.reach does; the other order would be a deadlock
    await connection.execute("SELECT FROM recordings WHERE id = %s FOR UPDATE", [event.recording])
    found = await connection.execute(
        """
        SELECT FROM runs WHERE recording = %s AND run = %s AND state IN ('queued', 'processing')
        """,
        [event.recording, event.run],
    )
    return found.rowcount == 1


async def end(connection: Connection, event: Event, ending: RunEnding) -> EndedRun:
    """End a run that is under way: `is_under_way` said so in this transaction."""
    transcript, summary = ending.transcript, ending.summary
    cursor = connection.cursor(row_factory=class_row(EndedRun))
    await cursor.execute(
        END_RUN,
        {
            "recording": event.recording,
            "run": event.run,
            "state": ending.state,
            "degraded": list(ending.degraded),
            "failure": _json(ending.failure),
            "recognizer": _json(transcript.engine if transcript else None),
            "summarizer": _json(summary.engine if summary else None),
            "segments": len(transcript.segments) if transcript else None,
        },
    )
    ended = await cursor.fetchone()
    if ended is None:
        raise AssertionError("The run is not under way.")
    return ended


END_RUN = """
    UPDATE runs SET state = %(state)s, degraded = %(degraded)s, failure = %(failure)s,
        recognizer = %(recognizer)s, summarizer = %(summarizer)s, segments = %(segments)s,
        finished_at = clock_timestamp()
    FROM recordings
    WHERE recordings.id = runs.recording AND recording = %(recording)s AND run = %(run)s
      AND runs.state IN ('queued', 'processing')
    RETURNING finished_at, duration,
        extract(epoch FROM finished_at - runs.created_at)::double precision AS seconds
"""


async def has_ended_as(connection: Connection, event: Event, ending: RunEnding) -> bool:
    """Return whether the run has ended in the state of `ending`, and for its failure if any.

    A run that was completed with or without other engines has ended otherwise.
    """
    found = await connection.execute(
        """
        SELECT FROM runs WHERE recording = %s AND run = %s AND state = %s
          AND failure IS NOT DISTINCT FROM %s::jsonb
          AND (state <> 'completed' OR degraded = %s)
        """,
        [
            event.recording,
            event.run,
            ending.state,
            _json(ending.failure),
            list(ending.degraded),
        ],
    )
    return found.rowcount == 1


async def last_engines(connection: Connection, tenant: str) -> EnginesUsed:
    """Return the engines of the tenant's latest run that ended with a transcript."""
    cursor = connection.cursor(row_factory=class_row(EnginesUsed))
    await cursor.execute(
        """
        SELECT recognizer, summarizer FROM runs
        WHERE tenant = %s AND recognizer IS NOT NULL ORDER BY finished_at DESC LIMIT 1
        """,
        [tenant],
    )
    return await cursor.fetchone() or EnginesUsed()


async def recent_factor(connection: Connection) -> float | None:
    """Return processing time over audio time of the latest completed runs.

    Returns None if none was completed in the last hour.
    """
    found = await connection.execute(
        """
        SELECT sum(seconds) / nullif(sum(duration), 0) AS factor FROM (
            SELECT duration, extract(epoch FROM finished_at - runs.created_at)::double precision
                AS seconds
            FROM runs JOIN recordings ON recordings.id = runs.recording
            WHERE runs.state = 'completed' AND finished_at > now() - interval '1 hour'
            ORDER BY finished_at DESC LIMIT %s
        ) recent
        """,
        [RECENT_RUNS],
    )
    row = await found.fetchone()
    return row["factor"] if row else None


def _json(fact: Engine | RunFailure | None) -> Jsonb | None:
    match fact:
        case None:
            return None
        case Engine():
            return Jsonb(fact.model_dump())
        case RunFailure():
            return Jsonb({name: getattr(fact, name) for name in RunFailure.__slots__})
