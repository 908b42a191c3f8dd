"""What the sweep looks after, on PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import structlog
from pydantic import ValidationError

from events import RecordingCompleted, RecordingFailed, RecordingReceived
from events.keys import RecordingKey
from functions.persist.record import Unannounced
from shared.record.database import Connection, Database

logger = structlog.get_logger()
LOCK = 0x73776570
"""Advisory lock ("swep"): one sweep at a time in the whole system."""


class PostgresUnfinished:
    """`record.Unfinished` within one transaction that holds the sweep's lock."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def unannounced(self, before: datetime, limit: int) -> Sequence[Unannounced]:
        await self._connection.execute(
            """
            UPDATE runs SET swept_at = now()
            WHERE (recording, run) IN (
                SELECT recording, run FROM runs
                WHERE announced_at IS NULL AND state <> 'cancelled'
                  AND coalesce(swept_at, created_at) < %s
                ORDER BY coalesce(swept_at, created_at) LIMIT %s
            )
            """,
            [before, limit],
        )
        # Asked for only now: a run that ended while its row was waited for has its result, too.
        found = await self._connection.execute(
            """
            SELECT runs.*, recordings.duration, recordings.files,
                EXISTS (SELECT FROM summaries
                 WHERE summaries.recording = runs.recording AND summaries.run = runs.run)
                 AS summarized,
                (SELECT count(*) FROM segments
                 WHERE segments.recording = runs.recording AND segments.run = runs.run) AS segments
            FROM runs JOIN recordings ON recordings.id = runs.recording
            WHERE announced_at IS NULL AND swept_at = now()
            ORDER BY runs.created_at
            """
        )
        runs = [_unannounced(row) for row in await found.fetchall()]
        return [run for run in runs if run is not None]

    async def announced(self, run: Unannounced) -> None:
        await self._update(run, "announced_at = now()")

    async def redriven(self, run: Unannounced) -> None:
        await self._update(run, "redrives = redrives + 1")

    async def _update(self, run: Unannounced, change: str) -> None:
        await self._connection.execute(
            f"UPDATE runs SET {change} WHERE recording = %s AND run = %s",  # noqa: S608 - fixed text
            [run.event.recording, run.event.run],
        )


@asynccontextmanager
async def unfinished(database: Database) -> AsyncIterator[PostgresUnfinished | None]:
    """The runs to sweep, or None while another sweep is at work."""
    async with database.transaction() as connection:
        found = await connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", [LOCK])
        row = await found.fetchone()
        yield PostgresUnfinished(connection) if row and row["mine"] else None


def _unannounced(row: dict[str, Any]) -> Unannounced | None:
    try:
        return Unannounced(_event(row), row["redrives"])
    except ValidationError:  # one bad row must not stop the sweep of all others
        logger.exception("unsweepable", recording=str(row["recording"]), run=row["run"])
        return None


def _event(row: dict[str, Any]) -> RecordingReceived | RecordingCompleted | RecordingFailed:
    recording = RecordingKey(row["tenant"], row["recording"])
    run = recording.run(row["run"])
    facts = {name: row[name] for name in ("tenant", "recording", "run", "duration", "segments")}
    match row["state"]:
        case "completed":
            return RecordingCompleted(
                **facts,
                transcript=run.transcript,
                summary=run.summary if row["summarized"] else None,
                request=recording.request,
                degraded=row["degraded"],
            )
        case "failed":
            return RecordingFailed(**facts, **row["failure"])
        case _:
            return RecordingReceived(
                **facts,
                audio=recording.audio,
                audio_right=recording.audio_right if row["files"] > 1 else None,
                request=recording.request,
            )
