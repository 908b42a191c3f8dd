"""A database that is away, and comes back."""

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

import shared.record.database
from shared.errors import Unavailable
from shared.record.database import Database
from tests.support.records import (
    accept,
    eventually,
    found,
    on,
)

if TYPE_CHECKING:
    from tests.support.databases import Databases

pytest_plugins = ["tests.support.databases"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds until a database counts as away, fewer than usual."""
    assert shared.record.database.ACQUIRE_TIMEOUT <= 5
    monkeypatch.setattr(shared.record.database, "ACQUIRE_TIMEOUT", 1.0)
    return 1.0


def test_a_database_that_is_away_is_unavailable_soon_and_recovers(
    databases: "Databases", url: str, impatient: float
) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        await asyncio.to_thread(databases.stop)
        try:
            for _ in range(4):
                started = time.monotonic()
                with pytest.raises(Unavailable):
                    await found(database)
                assert time.monotonic() - started < 3 * impatient
        finally:
            await asyncio.to_thread(databases.start)
        await eventually(database.check, 4 * impatient)
        assert (await found(database)).status == "queued"

    on(url, work, size=2)


def test_a_database_that_goes_away_in_a_transaction_is_unavailable(
    databases: "Databases", url: str
) -> None:
    async def look_while_it_stops(database: Database) -> None:
        async with database.transaction() as connection:
            await asyncio.to_thread(databases.stop)
            await connection.execute("SELECT 1")

    async def work(database: Database) -> None:
        try:
            with pytest.raises(Unavailable):
                await look_while_it_stops(database)
        finally:
            await asyncio.to_thread(databases.start)
        await eventually(database.check, 20)

    on(url, work, size=2)


@pytest.mark.usefixtures("impatient")
def test_a_function_starts_although_the_database_is_away(databases: "Databases", url: str) -> None:
    async def work(database: Database) -> None:
        try:
            with pytest.raises(Unavailable):
                await database.check()
        finally:
            await asyncio.to_thread(databases.start)
        await eventually(database.check, 20)

    databases.stop()
    on(url, work, size=2)
