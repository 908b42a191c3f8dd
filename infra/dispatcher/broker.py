"""The connection to the broker, through its outages, restarts and loss of files."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import RetentionPolicy, StorageType, StreamConfig

from events.base import TYPE_PREFIX
from shared.cancellation import cancellable
from shared.errors import Unavailable

STREAM = StreamConfig(
    name="POCWHISP",
    subjects=[f"{TYPE_PREFIX}>"],
    retention=RetentionPolicy.LIMITS,
    storage=StorageType.FILE,
    max_age=timedelta(days=7).total_seconds(),
    duplicate_window=timedelta(minutes=2).total_seconds(),
)
CONNECT_TIMEOUT = 2
PING_INTERVAL = 20
RECONNECT_WAIT = 0.25


class BrokerConnection:
    """A connection that survives the broker's restarts; `closed` is set if it ends for good."""

    def __init__(self) -> None:
        self.client = Client()
        self.closed = asyncio.Event()
        self._is_connected = asyncio.Event()
        self._when_connected: list[Callable[[], None]] = []

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str, log: Callable[[Exception], Awaitable[None]]
    ) -> AsyncIterator["BrokerConnection"]:
        """Connect, without a time limit; close at the end of the context.

        `log` is called with each error of the connection. Raises `Unavailable` if the URL is none.
        """
        broker = cls()
        async with AsyncExitStack() as closing:
            closing.push_async_callback(broker.client.close)
            try:
                await broker._open(url, log)
            except Unavailable:
                closing.pop_all()  # nats-py cannot close what never began to connect
                raise
            yield broker

    def when_connected(self, call: Callable[[], None]) -> None:
        """Call `call` each time the connection is restored."""
        self._when_connected.append(call)

    async def wait_until_connected(self) -> None:
        """Wait until connected."""
        await self._is_connected.wait()

    async def _connected(self) -> None:
        self._is_connected.set()
        for call in self._when_connected:
            call()

    async def _disconnected(self) -> None:
        self._is_connected.clear()

    async def _closed(self) -> None:
        self.closed.set()

    async def _open(self, url: str, log: Callable[[Exception], Awaitable[None]]) -> None:
        connecting = self.client.connect(
            url,
            connect_timeout=CONNECT_TIMEOUT,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT,  # type: ignore[arg-type]  # a float will do
            ping_interval=PING_INTERVAL,
            error_cb=log,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._connected,
            closed_cb=self._closed,
        )
        try:
            await cancellable(connecting)
        except NatsError:
            # Not the error's own text: it may hold a part of the password.
            raise Unavailable("NATS_URL is no address of a NATS server.") from None
        await self._connected()
