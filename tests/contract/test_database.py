"""A database that is away, and comes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.errors import ProgramLimitExceeded

import shared.record.connection
import shared.record.database
from shared.errors import Unavailable
from shared.record.connection import ANSWER_LIMIT, CANCEL_LIMIT, CHECK_LIMIT, conninfo
from shared.record.database import Database
from tests.support.records import (
    accept,
    eventually,
    found,
    on,
    rows,
)

if TYPE_CHECKING:
    from tests.support.databases import Databases

pytest_plugins = ["tests.support.databases"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds until a database counts as away, fewer than usual."""
    monkeypatch.setattr(shared.record.database, "ACQUIRE_TIMEOUT", 1.0)
    monkeypatch.setattr(shared.record.database, "CHECK_LIMIT", 0.5)
    monkeypatch.setattr(shared.record.database, "LISTEN_SILENCE", 0.1)
    monkeypatch.setattr(shared.record.connection, "ANSWER_LIMIT", 0.5)
    monkeypatch.setattr(shared.record.connection, "CANCEL_LIMIT", 0.2)
    monkeypatch.setitem(shared.record.connection.CLIENT_LIMITS, "connect_timeout", "1")
    return 1.0


def test_no_wait_is_longer_than_ten_seconds() -> None:
    limits = psycopg.conninfo.conninfo_to_dict(conninfo("", "pocwhisp_app"))
    assert shared.record.database.ACQUIRE_TIMEOUT + CHECK_LIMIT < 10
    assert float(limits["connect_timeout"] or 0) + ANSWER_LIMIT > CANCEL_LIMIT
    assert int(limits["tcp_user_timeout"] or 0) < 10_000
    assert shared.record.database.LISTEN_SILENCE + ANSWER_LIMIT < 10


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


@contextmanager
def soon() -> Iterator[None]:
    """The block ends in time although nothing answers."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 5


async def in_a_transaction(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("SELECT 1")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("work", [Database.check, in_a_transaction])
def test_a_database_that_hangs_is_unavailable_soon_and_recovers(
    databases: "Databases", url: str, work: Callable[[Database], Awaitable[None]]
) -> None:
    async def look(database: Database) -> None:
        await database.check()
        with (
            databases.hung(),
            soon(),
            pytest.raises(Unavailable, match=r"^The database is unavailable\.$"),
        ):
            await work(database)
        await eventually(database.check, 10)

    on(url, look, size=2)


@pytest.mark.usefixtures("impatient")
def test_a_database_that_hangs_in_a_transaction_is_unavailable_soon(
    databases: "Databases", url: str
) -> None:
    async def look_while_it_hangs(database: Database) -> None:
        async with database.transaction() as connection:
            with databases.hung(), soon():
                await connection.execute("SELECT 1")

    async def work(database: Database) -> None:
        with pytest.raises(Unavailable):
            await look_while_it_hangs(database)
        await eventually(database.check, 10)

    on(url, work, size=2)


@pytest.mark.usefixtures("impatient")
def test_who_waits_for_a_database_that_hangs_can_be_cancelled(
    databases: "Databases", url: str
) -> None:
    async def work(database: Database) -> None:
        async with database.transaction() as connection:
            pid = connection.info.backend_pid
            asleep = asyncio.ensure_future(connection.execute("SELECT pg_sleep(60)"))
            await eventually(lambda: active(url, pid), 5)
            with databases.hung(), soon():
                asleep.cancel()
                await asyncio.wait([asleep])
            assert asleep.cancelled()
        await eventually(database.check, 10)

    with pytest.raises(Unavailable):  # the connection is gone: nothing can be committed
        on(url, work, size=2)


async def active(url: str, pid: int) -> None:
    """Raise `Unavailable` unless the session is at work."""
    query = f"SELECT FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'"
    if not await asyncio.to_thread(rows, url, query):
        raise Unavailable("not yet")


@pytest.mark.usefixtures("impatient")
def test_a_function_starts_although_the_database_hangs(databases: "Databases", url: str) -> None:
    async def work(database: Database) -> None:
        with soon(), pytest.raises(Unavailable):
            await database.check()

    with databases.hung():
        on(url, work, size=2)


@pytest.mark.parametrize(
    "left_out",
    [
        "DROP TABLE pocwhisp.alembic_version",
        "DROP SCHEMA pocwhisp CASCADE",
        "ALTER TABLE pocwhisp.alembic_version RENAME COLUMN version_num TO number",
    ],
)
def test_a_database_that_is_not_migrated_yet_says_so(url: str, left_out: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(left_out.encode())

    async def work(database: Database) -> None:
        with pytest.raises(Unavailable, match=r"^The database is not migrated yet\.$"):
            await database.check()

    on(url, work)


@pytest.mark.usefixtures("impatient")
def test_a_database_without_our_roles_is_unavailable(url: str) -> None:
    async def work(database: Database) -> None:
        with pytest.raises(Unavailable):
            await database.check()

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER ROLE pocwhisp_app RENAME TO pocwhisp_away")
        try:
            on(url, work)
        finally:
            connection.execute("ALTER ROLE pocwhisp_away RENAME TO pocwhisp_app")


@pytest.mark.parametrize(
    ("sqlstate", "told"),
    [
        ("53200", "The database is unavailable."),
        ("57P01", "The database is unavailable."),
        ("57014", "The database is busy."),
        ("55P03", "The database is busy."),
        ("40P01", "The database is busy."),
    ],
)
def test_an_error_that_passes_is_an_outage(url: str, sqlstate: str, told: str) -> None:
    with pytest.raises(Unavailable) as failure:
        on(url, lambda database: fail(database, sqlstate), size=1)
    assert str(failure.value) == told


def test_a_statement_that_is_too_large_is_no_outage(url: str) -> None:
    with pytest.raises(ProgramLimitExceeded):
        on(url, lambda database: fail(database, "54000"), size=1)


async def fail(database: Database, sqlstate: str) -> None:
    async with database.transaction() as connection:
        raising = f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$"
        await connection.execute(raising.encode())


def test_a_transaction_is_about_its_tenant_and_leaves_nothing_behind(url: str) -> None:
    async def tenant(database: Database, name: str) -> str:
        async with database.transaction(name) as connection:
            found = await connection.execute(
                "SELECT current_setting('pocwhisp.tenant', true) AS tenant"
            )
            [row] = await found.fetchall()
            return str(row["tenant"] or "")

    async def work(database: Database) -> None:
        assert await tenant(database, "acme") == "acme"
        assert not await tenant(database, "")

    on(url, work, size=1)


def test_who_listens_gets_what_others_commit(url: str) -> None:
    async def work(database: Database) -> None:
        async with database.listen("progress") as payloads:
            for payload in ("first", "second"):
                async with database.transaction() as connection:
                    await connection.execute("SELECT pg_notify('progress', %s)", [payload])
                assert await anext(payloads) == payload

    on(url, work, size=1)


def test_what_is_rolled_back_is_not_heard_of(url: str) -> None:
    async def notify(database: Database, payload: str, error: Exception | None) -> None:
        async with database.transaction() as connection:
            await connection.execute("SELECT pg_notify('progress', %s)", [payload])
            if error is not None:
                raise error

    async def work(database: Database) -> None:
        async with database.listen("progress") as payloads:
            with pytest.raises(ValueError, match="no"):
                await notify(database, "never", ValueError("no"))
            await notify(database, "committed", None)
            assert await anext(payloads) == "committed"

    on(url, work, size=1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["stopped", "hung"])
def test_who_listens_learns_that_the_database_is_away(
    databases: "Databases", url: str, how: str
) -> None:
    @asynccontextmanager
    async def away() -> AsyncIterator[None]:
        if how == "hung":
            with databases.hung():
                yield
            return
        await asyncio.to_thread(databases.stop)
        try:
            yield
        finally:
            await asyncio.to_thread(databases.start)

    async def work(database: Database) -> None:
        async with database.listen("progress") as payloads, away():
            with soon():
                await anext(payloads)

    with pytest.raises(Unavailable):
        on(url, work, size=1)
