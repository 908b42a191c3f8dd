"""The recordings: what was uploaded, and the state of the latest run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.sql import SQL, Composed
from psycopg.types.json import Jsonb

from events import RecordingReceived
from events.base import RunState
from events.documents import Levels, Request
from shared.record.connection import Connection
from shared.recording import Position, UploadedAudio


@dataclass(frozen=True, slots=True)
class RecordingRow:
    """A recording with its latest run. Durations in seconds; None where not known yet."""

    id: UUID
    tenant: str
    created_at: datetime
    file_name: str | None
    container: str
    channels: int | None
    sample_rate: int | None
    duration: float | None
    request: dict[str, Any]
    run: int
    state: RunState
    began_at: datetime
    finished_at: datetime | None
    degraded: list[str]
    failure: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class RowPage:
    """Successive recordings, newest first, and whether there are others before and after them."""

    recordings: Sequence[RecordingRow]
    more_before: bool
    more_after: bool

    @property
    def next(self) -> Position | None:
        """The position of the page after this one; None if this is the last."""
        return _position(self.recordings[-1]) if self.more_after else None

    @property
    def previous(self) -> Position | None:
        """The position of the page before this one; None if this is the first."""
        return _position(self.recordings[0], backwards=True) if self.more_before else None


def _position(recording: RecordingRow, *, backwards: bool = False) -> Position:
    return Position(recording.created_at, recording.id, backwards)


WITH_LATEST_RUN = SQL("""
    SELECT id, recordings.tenant, recordings.created_at, file_name, container, channels,
           sample_rate, duration, request, run, runs.state, runs.created_at AS began_at,
           finished_at, degraded, failure
    FROM recordings JOIN runs ON recording = id AND run = coalesce(latest_run, 1)
""")


async def insert_recording(
    connection: Connection,
    received: RecordingReceived,
    audio: UploadedAudio,
    request: Request,
    age: float,
) -> None:
    """Insert a recording whose upload ended `age` seconds ago."""
    wanted = request.model_dump(mode="json", exclude={"document"}, exclude_defaults=True)
    await connection.execute(
        """
        INSERT INTO recordings (id, tenant, created_at, file_name, files, bytes, sha256,
                                container, duration, channels, sample_rate, request, latest_run)
        VALUES (%s, %s, clock_timestamp() - make_interval(secs => %s), %s, %s, %s, %s,
                %s, %s, %s, %s, %s, %s)
        """,
        [
            received.recording,
            received.tenant,
            age,
            audio.file_name,
            audio.files,
            audio.size,
            audio.sha256,
            audio.container,
            received.duration,
            audio.channels,
            audio.sample_rate,
            Jsonb(wanted),
            received.run,
        ],
    )


async def describe(connection: Connection, recording: UUID, levels: Levels) -> None:
    """Write the properties that decoding found."""
    await connection.execute(
        """
        UPDATE recordings SET duration = %s, channels = %s, sample_rate = %s, container = %s
        WHERE id = %s
        """,
        [levels.duration, levels.channels, levels.sample_rate, levels.container, recording],
    )


async def ensure_duration(connection: Connection, recording: UUID, duration: float) -> None:
    """Write the duration in seconds if it is not known yet: the split event may arrive later."""
    await connection.execute(
        "UPDATE recordings SET duration = %s WHERE id = %s AND duration IS NULL",
        [duration, recording],
    )


async def fetch_recording(
    connection: Connection, tenant: str, recording: UUID
) -> RecordingRow | None:
    """Return the recording with its latest run. Returns None if there is none."""
    cursor = connection.cursor(row_factory=class_row(RecordingRow))
    where = SQL("WHERE recordings.tenant = %s AND id = %s")
    await cursor.execute(SQL(" ").join([WITH_LATEST_RUN, where]), [tenant, recording])
    return await cursor.fetchone()


async def fetch_state(connection: Connection, tenant: str, recording: UUID) -> RunState | None:
    """Return the state of the recording's latest run. Returns None if there is none."""
    found = await connection.execute(
        "SELECT state FROM recordings WHERE tenant = %s AND id = %s", [tenant, recording]
    )
    row = await found.fetchone()
    return row["state"] if row else None


async def fetch_page(
    connection: Connection, tenant: str, state: str | None, limit: int, start: Position | int = 0
) -> RowPage:
    """Return a page of the tenant's recordings, newest first, only those in `state` if given.

    `start` is a position, or a number of recordings to skip, each of which costs time.
    """
    place = start if isinstance(start, Position) else None
    cursor = connection.cursor(row_factory=class_row(RecordingRow))
    await cursor.execute(
        _page_query(state, place),
        {
            "tenant": tenant,
            "state": state,
            "limit": limit + 1,
            "offset": 0 if isinstance(start, Position) else start,
            "at": place and place.created_at,
            "id": place and place.recording,
        },
    )
    rows = await cursor.fetchall()
    more, rows = len(rows) > limit, rows[:limit]
    if place and place.backwards:
        return RowPage(rows[::-1], more_before=more, more_after=bool(rows))
    return RowPage(rows, more_before=bool(rows) and start != 0, more_after=more)


def _page_query(state: str | None, start: Position | None) -> Composed:
    """Return the query of one page. An index finds the ids before any row is read."""
    backwards = start is not None and start.backwards
    beyond = SQL(">" if backwards else "<")
    return PAGE_QUERY.format(
        recordings=WITH_LATEST_RUN,
        of_state=SQL("AND state = %(state)s" if state else ""),
        place=SQL("AND (created_at, id) {} (%(at)s, %(id)s)" if start else "").format(beyond),
        order=SQL("" if backwards else "DESC"),
    )


PAGE_QUERY = SQL("""
    WITH chosen AS MATERIALIZED (
        SELECT id FROM recordings WHERE tenant = %(tenant)s {of_state} {place}
        ORDER BY created_at {order}, id {order} LIMIT %(limit)s OFFSET %(offset)s
    )
    {recordings} WHERE id IN (SELECT id FROM chosen)
    ORDER BY recordings.created_at {order}, id {order}
""")
