"""The event bus on NATS JetStream."""

import asyncio
import contextvars
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from events import Envelope, Event
from events.envelope import STRUCTURED
from shared.cancellation import cancellable
from shared.errors import Unavailable

BROKER = "The broker"
CREDENTIALS = re.compile(r"//([^@/]+)@")
PUBLISH_TIMEOUT = 5.0
BROKER_CHECK_TIMEOUT = 1.0
CONNECT_TIMEOUT = 2
RECONNECT_WAIT = 1
RECENT_ACKNOWLEDGEMENT = 10.0
"""Seconds for which an acknowledged event proves that the broker keeps events."""
REPEATED_REASON = 60.0
"""Seconds after which an unchanged reason is logged again."""

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Message:
    """An event as it goes over the wire."""

    type: str
    subject: str
    payload: bytes
    headers: dict[str, str]

    @classmethod
    def of(cls, envelope: Envelope[Event]) -> "Message":
        """Return the event in structured mode."""
        return cls(
            envelope.data.type,
            envelope.data.subject,
            json.dumps(envelope.structured()).encode(),
            {"content-type": STRUCTURED, "Nats-Msg-Id": envelope.message_id},
        )


class Bus:
    """`ports.Publisher` on JetStream, with subscriptions for ingest and look-ups for the sweep."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.stream_context = client.jetstream(timeout=PUBLISH_TIMEOUT)
        self._stored_at = -RECENT_ACKNOWLEDGEMENT
        self._refused: dict[str, Message] = {}
        self._proof: asyncio.Task[Unavailable | None] | None = None

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str) -> AsyncIterator["Bus"]:
        """Connect, and reconnect after the broker's restarts, while the context lasts.

        With the broker away it goes on trying, and `publish` raises `Unavailable` meanwhile.
        """
        client = Client()
        connecting = asyncio.create_task(_connect(client, url))
        await asyncio.wait([connecting], timeout=CONNECT_TIMEOUT)
        if connecting.done() and connecting.exception() is not None:
            # Not the error's own text: it may hold a part of the password.
            raise Unavailable("NATS_URL is no address of a NATS server.", part=BROKER)
        try:
            yield cls(client)
        finally:
            connecting.cancel()
            await client.close()

    async def publish(self, envelope: Envelope[Event]) -> None:
        """Publish in structured mode and wait for the PubAck."""
        self._check_connected()
        await self._send(Message.of(envelope))

    async def last_event(self, subject: str) -> dict[str, Any] | None:
        """Return the last event that the broker keeps on `subject`, as structured JSON.

        Returns None if there is none.
        """
        self._check_connected()
        with _bus_errors():
            try:
                stream = await cancellable(self.stream_context.find_stream_name_by_subject(subject))
                message = await cancellable(self.stream_context.get_last_msg(stream, subject))
            except NotFoundError:
                return None
        event: dict[str, Any] = json.loads(message.data or b"{}")
        return event

    @asynccontextmanager
    async def subscribe(self, *subjects: str) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set when a message passes on one of the subjects.

        It is a hint to read the record at once, never a proof: a message is not delivered again.
        With the broker away it is never set.
        """
        notice = asyncio.Event()

        async def note(_: object) -> None:
            notice.set()

        subscriptions = []
        if self.client.is_connected:
            with suppress(NatsError):
                subscriptions = [await self.client.subscribe(each, cb=note) for each in subjects]
        try:
            yield notice
        finally:
            with suppress(NatsError):
                for subscription in subscriptions:
                    await subscription.unsubscribe()

    async def check(self) -> None:
        """Raise `Unavailable` unless the broker keeps events, as far as can be known.

        An event acknowledged lately proves it. One that was not acknowledged is sent again until
        it is: its id is the same, so at worst it is there twice. Without either, JetStream is
        asked for its account. Takes at most `BROKER_CHECK_TIMEOUT` seconds.
        """
        self._check_connected()
        if not self._refused and time.monotonic() - self._stored_at < RECENT_ACKNOWLEDGEMENT:
            return
        if self._proof is None or self._proof.done():
            self._proof = asyncio.create_task(self._prove(), context=contextvars.Context())
        await asyncio.wait({self._proof}, timeout=BROKER_CHECK_TIMEOUT)
        if not self._proof.done():
            raise Unavailable("The broker does not acknowledge.", part=BROKER)
        if (failure := self._proof.result()) is not None:
            raise failure

    async def _prove(self) -> Unavailable | None:
        try:
            for message in tuple(self._refused.values()):
                await self._send(message)
            with _bus_errors():
                account = await cancellable(self.stream_context.account_info())
        except Unavailable as failure:
            return failure
        limit = account.limits.max_storage or -1
        if 0 < limit <= account.storage:
            return Unavailable(f"The broker holds all of its {limit} bytes.", part=BROKER)
        return None

    async def _send(self, message: Message) -> None:
        self._refused[message.type] = message
        with _bus_errors():
            await cancellable(
                self.stream_context.publish(
                    message.subject, message.payload, headers=dict(message.headers)
                )
            )
        self._refused.pop(message.type, None)
        self._stored_at = time.monotonic()

    def _check_connected(self) -> None:
        if not self.client.is_connected:
            raise Unavailable("The broker is away.", part=BROKER)


class OutageLog:
    """The log of outages: the reason when it changes, and once a minute."""

    def __init__(self, url: str) -> None:
        self._secrets = [info.rpartition(":")[2] for info in CREDENTIALS.findall(url)]
        self._reason = ""
        self._at = 0.0

    async def log(self, error: Exception) -> None:
        """Log the reason, without the password in it."""
        reason = str(error) or type(error).__name__
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        now = time.monotonic()
        if reason != self._reason or now - self._at >= REPEATED_REASON:
            logger.warning("broker_away", reason=reason)
            self._reason, self._at = reason, now


async def _connect(client: Client, url: str) -> None:
    await client.connect(
        url,
        connect_timeout=CONNECT_TIMEOUT,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_WAIT,
        error_cb=OutageLog(url).log,
    )


@contextmanager
def _bus_errors() -> Iterator[None]:
    try:
        yield
    except (NatsError, OSError, TimeoutError) as error:
        reason = f"The broker failed: {error or type(error).__name__}"
        raise Unavailable(reason, part=BROKER) from error
