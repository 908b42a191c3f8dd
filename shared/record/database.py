"""The database of the record: transactions, notifications and the check of its migration."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Literal, TypeAlias

import structlog
from psycopg import InterfaceError, OperationalError
from psycopg.errors import (
    DeadlockDetected,
    InvalidSchemaName,
    LockNotAvailable,
    QueryCanceled,
    ReadOnlySqlTransaction,
    SerializationFailure,
    UndefinedColumn,
    UndefinedFunction,
    UndefinedTable,
)
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier
from psycopg_pool import AsyncConnectionPool

from shared.errors import Unavailable
from shared.record.connection import CHECK_LIMIT, Connection, conninfo

Role: TypeAlias = Literal["pocwhisp_app", "pocwhisp_system"]
NEEDED_MIGRATION = "0007"
"""The newest migration; older tables lack columns that this code uses."""
ACQUIRE_TIMEOUT = 5.0
LISTEN_SILENCE = 3.0
"""Seconds without a notice after which the server must show that it is still there."""
SERVER_AWAY = (OperationalError, InterfaceError, ReadOnlySqlTransaction)
"""Errors of the server or the connection; a pool's timeout included."""
SERVER_BUSY = (QueryCanceled, LockNotAvailable, DeadlockDetected, SerializationFailure)
"""Errors of a statement that others held up: as good as an outage, a slow disk among them."""
LIMIT_EXCEEDED = "54"
"""Class of errors of a statement that is too large for PostgreSQL, however often it is tried."""
NOT_MIGRATED = (InvalidSchemaName, UndefinedColumn, UndefinedFunction, UndefinedTable)
"""Errors of a release that starts before its migrations have run."""
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
logger = structlog.get_logger()


class Database:
    """A pool of connections in one role. Raises `Unavailable` while PostgreSQL is away or busy.

    It does so within ten seconds, also if the server hangs or the network is cut. A statement that
    is too large for PostgreSQL raises psycopg's own error: another try does not help.
    """

    def __init__(self, pool: AsyncConnectionPool[Connection], info: str) -> None:
        self._pool = pool
        self._info = info

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, role: Role, *, size: int = 4) -> AsyncIterator["Database"]:
        info = conninfo(url, role)
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            info,
            connection_class=Connection,
            kwargs={"row_factory": dict_row},
            min_size=1,
            max_size=size,
            timeout=ACQUIRE_TIMEOUT,
            reconnect_timeout=ACQUIRE_TIMEOUT,  # its delays double: later it would wait minutes
            check=_check_connection,
            open=False,
        )
        async with pool:
            yield cls(pool, info)

    @asynccontextmanager
    async def transaction(
        self, tenant: str = "", *, snapshot: bool = False
    ) -> AsyncIterator[Connection]:
        """Run the block in a transaction: committed at its end, rolled back if it raises.

        A `snapshot` reads everything as of one moment and writes nothing. `tenant` becomes the
        setting `pocwhisp.tenant` of the transaction. No policy reads it: every transaction sees
        all tenants, so each query names its own.
        """
        with _translated():
            async with self._pool.connection() as connection, connection.transaction():
                if snapshot:
                    await connection.execute(SNAPSHOT)
                if tenant:
                    await connection.execute(
                        "SELECT set_config('pocwhisp.tenant', %s, true)", [tenant]
                    )
                yield connection
                if connection.closed:  # psycopg would leave it at that, without a commit
                    raise OperationalError("The connection was lost in the transaction.")

    @asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator[AsyncIterator[str]]:
        """Yield the payloads of NOTIFY on the channel, from now on, over a connection of its own.

        Raises `Unavailable` when the connection is lost: listen again, and read from the record
        what was missed.
        """
        with _translated():
            connection = await Connection.connect(self._info, autocommit=True)
            async with connection, aclosing(_payloads(connection)) as payloads:
                await connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
                yield payloads

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


async def _check_connection(connection: Connection) -> None:
    async with connection.hung_up_after(CHECK_LIMIT):
        await AsyncConnectionPool.check_connection(connection)


async def _payloads(connection: Connection) -> AsyncGenerator[str]:
    with _translated():
        while True:
            async with aclosing(connection.notifies(timeout=LISTEN_SILENCE)) as notices:
                async for notice in notices:
                    yield notice.payload
            await connection.execute("")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn errors that PostgreSQL recovers from into `Unavailable`; their text is for the log."""
    try:
        yield
    except NOT_MIGRATED as error:
        logger.warning("not_migrated", reason=str(error))
        raise Unavailable("The database is not migrated yet.") from error
    except SERVER_BUSY as error:
        logger.warning("database_busy", reason=str(error))
        raise Unavailable("The database is busy.") from error
    except SERVER_AWAY as error:
        if (error.sqlstate or "").startswith(LIMIT_EXCEEDED):
            raise
        logger.warning("database_away", reason=str(error))
        raise Unavailable("The database is unavailable.") from error
