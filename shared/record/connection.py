"""Connections to PostgreSQL on which nothing waits without a limit.

A server that hangs, or that the network no longer reaches, ends no connection: its own limits
(statement, lock, idle transaction) help only while it runs. So the client hangs up by itself.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow

T = TypeVar("T")
SCHEMA = "pocwhisp"
ANSWER_LIMIT = 6.0
"""Seconds that one answer of the server may take."""
CHECK_LIMIT = 3.0
"""Seconds that an idle connection may take to show that it is alive."""
CANCEL_LIMIT = 2.0
"""Seconds that a request to cancel a statement may take."""
SERVER_LIMITS = {
    "statement_timeout": "5s",
    "lock_timeout": "4s",
    "idle_in_transaction_session_timeout": "60s",
}
CLIENT_LIMITS = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "tcp_user_timeout": "8000",
}


def conninfo(url: str, role: str) -> str:
    """Return the URL with limits, and with `role` and the schema set, whoever logs in.

    A limit in the URL itself prevails.
    """
    given = conninfo_to_dict(url)
    settings = {**SERVER_LIMITS, "role": role, "search_path": SCHEMA}
    limits = " ".join(f"-c {name}={value}" for name, value in settings.items())
    options = f"{limits} {given.get('options', '')}".strip()
    parameters: dict[str, Any] = {**CLIENT_LIMITS, **given, "options": options}
    return make_conninfo(**parameters)


class Connection(AsyncConnection[DictRow]):
    """A connection that is hung up if the server takes longer than `ANSWER_LIMIT` to answer.

    The waiting call then raises `OperationalError`, cancelled or not.
    """

    async def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:  # noqa: ANN401 - passed on
        async with self.hung_up_after(ANSWER_LIMIT):
            return await super().wait(gen, *args, **kwargs)

    async def cancel_safe(self, *, timeout: float = CANCEL_LIMIT) -> None:  # noqa: ASYNC109 - psycopg's
        await super().cancel_safe(timeout=min(timeout, CANCEL_LIMIT))

    @asynccontextmanager
    async def hung_up_after(self, seconds: float) -> AsyncIterator[None]:
        """Hang up unless the block ends within `seconds`."""
        timer = asyncio.get_running_loop().call_later(seconds, self.hang_up)
        try:
            yield
        finally:
            timer.cancel()

    def hang_up(self) -> None:
        """End the connection below libpq, which then stops waiting and reports it as lost."""
        if self.closed:
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
