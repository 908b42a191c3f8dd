"""Helpers for tests of the record on a real PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import psycopg
from psycopg import sql

from events.documents import Request
from functions.ingest.adapters import PostgresRecord as IngestRecord
from functions.ingest.views import Session
from functions.persist.adapters import PostgresRecordWriter
from shared.errors import Unavailable
from shared.record.connection import conninfo
from shared.record.database import Database, Role
from shared.recording import UploadedAudio
from tests.support.examples import (
    RECORDING,
    SHA256,
    received,
    summarized,
    summary,
    transcript,
)

Work: TypeAlias = Callable[[Database], Coroutine[Any, Any, None]]
ROOT = Path(__file__).parents[2]
VERSIONS = ROOT / "shared" / "record" / "migrations" / "versions"
AUDIO = UploadedAudio("call.wav", 1, 64_044, SHA256, "wav", 2, 8_000, 2.0)
TABLES = {"recordings", "runs", "stages", "documents", "totals"}
EARLY = datetime(2020, 1, 1, tzinfo=UTC)
LATE = datetime(2100, 1, 1, tzinfo=UTC)
LOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def on(url: str, work: Work, *, role: Role = "pocwhisp_app", size: int = 8) -> None:
    """Do the work with the database opened in the role."""

    async def opened() -> None:
        async with Database.open(url, role, size=size) as database:
            await work(database)

    asyncio.run(opened())


def rows(url: str, query: str, role: str | None = None) -> list[tuple[Any, ...]]:
    """What the query gives to the superuser, or to a session in the role."""
    info = url if role is None else conninfo(url, role)
    with psycopg.connect(info, autocommit=True) as connection:
        return list(connection.execute(sql.SQL(query)))


async def accept(database: Database, *recordings: UUID, traceparent: str | None = None) -> None:
    for recording in recordings or (RECORDING,):
        event = received(recording)
        await IngestRecord(database).accept(event, AUDIO, Request(), 0.0, traceparent)


async def found(database: Database, recording: UUID = RECORDING) -> Session:
    session = await IngestRecord(database).find("default", recording)
    assert session is not None
    return session


async def complete(database: Database) -> bool:
    done = transcript(degraded=("recognizer:sphinx",)), summary(degraded=("summarizer:test",))
    return await PostgresRecordWriter(database).complete(summarized(), *done)


async def lock_waits(url: str, number: int) -> None:
    """Wait until so many sessions wait for a lock."""
    async with asyncio.timeout(5):
        while await asyncio.to_thread(rows, url, LOCKED) < [(number,)]:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)


async def eventually(look: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Look again until the part is there."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await look()
            except Unavailable:
                await asyncio.sleep(0.05)
