"""The connection to the broker, through its outages, restarts and loss of files."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from nats.aio.client import Client
from nats.js.api import RetentionPolicy, StorageType, StreamConfig

from shared.cancellation import cancellable

STREAM = StreamConfig(
    name="POCWHISP",
    subjects=["io.pocwhisp.>"],
    retention=RetentionPolicy.LIMITS,
    storage=StorageType.FILE,
    max_age=timedelta(days=7).total_seconds(),
    duplicate_window=timedelta(minutes=2).total_seconds(),
)
CONNECT_TIMEOUT = 2
PING_INTERVAL = 20
PAUSE = 0.25

logger = structlog.get_logger()


class Broker:
    """A connection that survives the broker's restarts; `closed` is set if it ends for good."""

    def __init__(self) -> None:
        self.client = Client()
        self.closed = asyncio.Event()
        self._is_connected = asyncio.Event()
        self._when_connected: list[Callable[[], None]] = []
        self._last_error = ""

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str) -> AsyncIterator["Broker"]:
        """Connect, without a time limit; close at the end of the context."""
        broker = cls()
        try:
            await cancellable(
                broker.client.connect(
                    url,
                    connect_timeout=CONNECT_TIMEOUT,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=PAUSE,  # type: ignore[arg-type]  # a float will do
                    ping_interval=PING_INTERVAL,
                    error_cb=broker._log_error,
                    disconnected_cb=broker._disconnected,
                    reconnected_cb=broker._connected,
                    closed_cb=broker._closed,
                )
            )
            await broker._connected()
            yield broker
        finally:
            await broker.client.close()

    def when_connected(self, call: Callable[[], None]) -> None:
        """Call `call` each time the connection is restored."""
        self._when_connected.append(call)

    async def wait_until_connected(self) -> None:
        """Wait until connected."""
        await self._is_connected.wait()

    async def _connected(self) -> None:
        self._last_error = ""
        self._is_connected.set()
        for call in self._when_connected:
            call()

    async def _disconnected(self) -> None:
        self._is_connected.clear()

    async def _closed(self) -> None:
        self.closed.set()

    async def _log_error(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if reason != self._last_error:
            logger.warning("broker_away", reason=reason)
        self._last_error = reason
