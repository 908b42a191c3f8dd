"""The record, done with PostgreSQL through psycopg."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

from psycopg import AsyncConnection, OperationalError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from events import Event
from shared.errors import Unavailable

Role: TypeAlias = Literal["pocwhisp_app", "pocwhisp_system"]
Connection: TypeAlias = AsyncConnection[DictRow]
SCHEMA = "pocwhisp"
NEEDED_MIGRATION = "0004"
"""The newest one; older tables lack what this code asks for."""
ACQUIRE_TIMEOUT = 5.0


def conninfo(url: str, role: str) -> str:
    """The URL with the session put into the role and the schema, whoever logs in."""
    options = f"{conninfo_to_dict(url).get('options', '')} -c role={role} -c search_path={SCHEMA}"
    return make_conninfo(url, options=options.strip())


class Database:
    """A pool of connections in one role. Raises `Unavailable` while PostgreSQL is away."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, role: Role, *, size: int = 4) -> AsyncIterator["Database"]:
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            conninfo(url, role),
            kwargs={"row_factory": dict_row},
            min_size=1,
            max_size=size,
            timeout=ACQUIRE_TIMEOUT,
            reconnect_timeout=ACQUIRE_TIMEOUT,  # its delays double: later it would wait minutes
            check=AsyncConnectionPool.check_connection,
            open=False,
        )
        async with pool:
            yield cls(pool)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction: committed when the block ends, rolled back when it raises."""
        try:
            async with self._pool.connection() as connection, connection.transaction():
                yield connection
        except (OperationalError, PoolTimeout) as error:
            raise Unavailable(f"The database failed: {error}") from error

    async def check(self) -> None:
        """Raise `Unavailable` unless the database answers and is migrated far enough."""
        async with self.transaction() as connection:
            found = await connection.execute(
                "SELECT max(version_num) AS version FROM alembic_version"
            )
            row = await found.fetchone()
        version = (row and row["version"]) or "0000"
        if version < NEEDED_MIGRATION:
            raise Unavailable(f"The database is at migration {version}, not {NEEDED_MIGRATION}.")


async def reach_stage(connection: Connection, event: Event, stage: str) -> bool:
    """Note that the event's run reached a stage; tell whether it was news.

    An unknown run reaches none. The event is kept with the stage, for the sweep to send it again.
    Sequence numbers count the stages of a recording from 1 without gaps: the recording's row is
    locked while the next one is taken.
    """
    found = await connection.execute(
        """
        SELECT recordings.tenant FROM recordings JOIN runs ON runs.recording = recordings.id
        WHERE recordings.id = %s AND runs.run = %s FOR UPDATE OF recordings
        """,
        [event.recording, event.run],
    )
    row = await found.fetchone()
    if row is None:
        return False
    added = await connection.execute(
        """
        INSERT INTO stages (recording, run, tenant, stage, channel, sequence, reached_at, event)
        SELECT %(recording)s, %(run)s, %(tenant)s, %(stage)s, %(channel)s,
               1 + coalesce(max(sequence), 0), clock_timestamp(), %(event)s
        FROM stages WHERE recording = %(recording)s
        ON CONFLICT (recording, run, stage, channel) DO NOTHING
        """,
        {
            "recording": event.recording,
            "run": event.run,
            "tenant": row["tenant"],
            "stage": stage,
            "channel": event.part,
            "event": Jsonb(event.model_dump(mode="json")),
        },
    )
    return added.rowcount == 1
