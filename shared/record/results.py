"""The results of runs: their documents, as JSON."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from events import Event
from events.documents import Document, Levels, SpokenSegment, Summary, Transcript
from shared.record.connection import Connection

D = TypeVar("D", bound=Document)
SEGMENTS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Results:
    """The documents of a run; None where there is none yet."""

    levels: Levels | None = None
    transcript: Transcript | None = None
    summary: Summary | None = None


async def write_results(connection: Connection, event: Event, *documents: Document | None) -> None:
    """Write the documents of the event's run. An older one is replaced; None is skipped."""
    for document in documents:
        if document is not None:
            await connection.execute(
                """
                INSERT INTO documents (recording, run, tenant, name, body)
                VALUES (%s, %s, %s, %s, %s::text::jsonb)
                ON CONFLICT (recording, run, name) DO UPDATE SET body = excluded.body
                """,
                [
                    event.recording,
                    event.run,
                    event.tenant,
                    document.name,
                    document.model_dump_json(),
                ],
            )


async def fetch_results(connection: Connection, recording: UUID, run: int) -> Results:
    """Return the documents of the run.

    It needs a `snapshot` transaction: a transcript's segments are read after the documents. They
    come in small batches, so that validating them does not block the event loop.
    """
    found = await connection.execute(
        """
        SELECT name, (CASE WHEN name = %s THEN body || '{"segments": []}' ELSE body END)::text
                     AS body
        FROM documents WHERE recording = %s AND run = %s
        """,
        [Transcript.name, recording, run],
    )
    bodies = {row["name"]: row["body"] for row in await found.fetchall()}
    transcript = _document(bodies, Transcript)
    if transcript is not None:
        segments = await _segments(connection, recording, run)
        transcript = transcript.model_copy(update={"segments": segments})
    return Results(_document(bodies, Levels), transcript, _document(bodies, Summary))


async def _segments(connection: Connection, recording: UUID, run: int) -> tuple[SpokenSegment, ...]:
    async with connection.cursor(name="segments") as cursor:
        await cursor.execute(
            """
            SELECT jsonb_array_elements(body -> 'segments')::text AS segment
            FROM documents WHERE recording = %s AND run = %s AND name = %s
            """,
            [recording, run, Transcript.name],
        )
        segments: list[SpokenSegment] = []
        while rows := await cursor.fetchmany(SEGMENTS_AT_ONCE):
            segments += [SpokenSegment.model_validate_json(row["segment"]) for row in rows]
            await asyncio.sleep(0)
        return tuple(segments)


def _document(bodies: Mapping[str, str], kind: type[D]) -> D | None:
    return kind.model_validate_json(bodies[kind.name]) if kind.name in bodies else None
