"""The results of runs: their documents, as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from events import Event
from events.documents import Document, Levels, Summary, Transcript
from shared.record.connection import Connection

D = TypeVar("D", bound=Document)


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
    """Return the documents of the run."""
    found = await connection.execute(
        "SELECT name, body::text AS body FROM documents WHERE recording = %s AND run = %s",
        [recording, run],
    )
    bodies = {row["name"]: row["body"] for row in await found.fetchall()}
    return Results(
        _document(bodies, Levels), _document(bodies, Transcript), _document(bodies, Summary)
    )


def _document(bodies: Mapping[str, str], kind: type[D]) -> D | None:
    return kind.model_validate_json(bodies[kind.name]) if kind.name in bodies else None
