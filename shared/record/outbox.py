"""The runs whose events may have been lost: under way, or ended without the news being sent."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from shared.record.connection import Connection


@dataclass(frozen=True, slots=True)
class StageToSweep:
    """A stage of a run that may have lost its event; releases before kept none with it."""

    recording: UUID
    run: int
    stage: str
    reached_at: datetime
    event: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Run:
    """A run to look after, with its recording's facts and the stages it has reached."""

    recording: UUID
    run: int
    tenant: str
    state: str
    created_at: datetime
    redrives: int
    held_since: datetime | None
    traceparent: str | None
    degraded: list[str]
    failure: dict[str, Any] | None
    duration: float | None
    files: int
    sha256: str
    reached: Sequence[StageToSweep] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sweep found out about a run, to be saved."""

    recording: UUID
    run: int
    redrives: int
    held_since: datetime | None
    announced: bool


CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT recording, run FROM runs
        WHERE announced_at IS NULL AND state <> 'cancelled'
          AND coalesce(swept_at, created_at) < %s
        ORDER BY coalesce(swept_at, created_at) LIMIT %s
        FOR UPDATE SKIP LOCKED
    )
    UPDATE runs SET swept_at = now()
    FROM due, recordings
    WHERE (runs.recording, runs.run) = (due.recording, due.run) AND recordings.id = runs.recording
    RETURNING runs.recording, runs.run, runs.tenant, runs.state, runs.created_at, runs.redrives,
              runs.held_since, runs.traceparent, runs.degraded, runs.failure,
              recordings.duration, recordings.files, recordings.sha256
"""


async def claim(connection: Connection, before: datetime, limit: int) -> Sequence[Run]:
    """Take the runs that nobody looked at since `before`, longest waiting first in line.

    No other claim takes them as well until they are due again.
    """
    cursor = connection.cursor(row_factory=class_row(Run))
    claimed = await (await cursor.execute(CLAIM, [before, limit])).fetchall()
    reached = await _reached(connection, {run.recording for run in claimed})
    return [replace(run, reached=reached[run.recording, run.run]) for run in claimed]


async def save(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes, in an order that all sweeps keep to: another would be a deadlock."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            UPDATE runs SET redrives = %(redrives)s, held_since = %(held_since)s,
                   announced_at = CASE WHEN %(announced)s THEN now() ELSE announced_at END
            WHERE recording = %(recording)s AND run = %(run)s
            """,
            [asdict(outcome) for outcome in sorted(outcomes, key=attrgetter("recording", "run"))],
        )


async def _reached(
    connection: Connection, recordings: Iterable[UUID]
) -> Mapping[tuple[UUID, int], list[StageToSweep]]:
    """The stages reached by each run of the recordings."""
    cursor = connection.cursor(row_factory=class_row(StageToSweep))
    await cursor.execute(
        """
        SELECT recording, run, stage, reached_at, event FROM stages WHERE recording = ANY(%s)
        """,
        [list(recordings)],
    )
    reached: dict[tuple[UUID, int], list[StageToSweep]] = defaultdict(list)
    for stage in await cursor.fetchall():
        reached[stage.recording, stage.run].append(stage)
    return reached
