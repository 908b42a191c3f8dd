"""The event bus on NATS JetStream."""

import asyncio
import contextvars
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import unquote

import structlog
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError

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
    """`ports.Publisher` on JetStream, with subscriptions for ingest."""

    def __init__(self, client: Client) -> None:
        self._use(client)
        self._stored_at = -RECENT_ACKNOWLEDGEMENT
        self._unacknowledged: dict[str, tuple[float, Message]] = {}
        self._proof: asyncio.Task[Unavailable | None] | None = None

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str) -> AsyncIterator["Bus"]:
        """Connect, and stay connected through the broker's restarts while the context lasts.

        With the broker away it goes on trying, and `publish` raises `Unavailable` meanwhile.
        """
        bus = cls(Client())
        first: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        connecting = asyncio.create_task(bus._stay_connected(url, first))
        try:
            await asyncio.wait([first], timeout=CONNECT_TIMEOUT)
            if first.done() and first.result() is not None:
                # Not the error's own text: it may hold a part of the password.
                raise Unavailable("NATS_URL is no address of a NATS server.", part=BROKER)
            yield bus
        finally:
            await bus._close(connecting)

    def _use(self, client: Client) -> None:
        self.client = client
        self.stream_context = client.jetstream(timeout=PUBLISH_TIMEOUT)

    async def _stay_connected(self, url: str, first: asyncio.Future[Exception | None]) -> None:
        """Connect with a new client whenever the last one is closed, which nats-py never undoes.

        It closes a client at errors such as "maximum connections exceeded". `first` becomes the
        error that the first attempt ended with, None if it connected.
        """
        outages = OutageLog(url)
        while True:
            error = await _connect(self.client, url, outages)
            if not first.done():
                first.set_result(error)
            elif error is not None:
                await outages.log(error)
            # nats-py's own callback is not called if its last flush fails.
            while error is None and not self.client.is_closed:  # noqa: ASYNC110
                await asyncio.sleep(RECONNECT_WAIT)
            if error is None:
                await outages.log(self.client.last_error or ConnectionClosedError())
            await asyncio.sleep(RECONNECT_WAIT)
            self._use(Client())

    async def _close(self, connecting: asyncio.Task[None]) -> None:
        tasks = {connecting} if self._proof is None else {connecting, self._proof}
        for task in tasks:
            task.cancel()
        try:
            await asyncio.wait(tasks, timeout=CONNECT_TIMEOUT)  # nats-py may swallow it
        finally:
            with suppress(AssertionError):  # nats-py's, of a client that never began to connect
                await self.client.close()

    async def publish(self, envelope: Envelope[Event]) -> None:
        """Publish in structured mode and wait for the PubAck."""
        self._check_connected()
        await self._send(Message.of(envelope))

    @asynccontextmanager
    async def subscribe(self, *subjects: str) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set when a message passes on one of the subjects.

        It is a hint to read the record at once, never a proof: a message is not delivered again.
        With the broker away, and once its client is closed for good, it is never set.
        """
        notice = asyncio.Event()

        async def note(_: object) -> None:
            notice.set()

        async with AsyncExitStack() as subscriptions:
            with suppress(NatsError):
                for subject in subjects if self.client.is_connected else ():
                    subscription = await self.client.subscribe(subject, cb=note)
                    subscriptions.push_async_callback(_unsubscribe, subscription)
            yield notice

    async def check(self) -> None:
        """Raise `Unavailable` unless the broker keeps events, as far as can be known.

        An event acknowledged lately proves it. One that was not acknowledged is sent again until
        it is: its id is the same, so at worst it is there twice. Without either, JetStream is
        asked for its account. Takes at most `BROKER_CHECK_TIMEOUT` seconds.
        """
        self._check_connected()
        if not self._unacknowledged and time.monotonic() - self._stored_at < RECENT_ACKNOWLEDGEMENT:
            return
        proof = self._proof
        if proof is None or proof.done():
            proof = asyncio.create_task(self._prove(), context=contextvars.Context())
            self._proof = proof
        await asyncio.wait({proof}, timeout=BROKER_CHECK_TIMEOUT)
        if not proof.done():
            raise Unavailable("The broker does not acknowledge.", part=BROKER)
        if (failure := proof.result()) is not None:
            raise failure

    async def _prove(self) -> Unavailable | None:
        try:
            for _, message in tuple(self._unacknowledged.values()):
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
        """Send the message; one that is not acknowledged is kept for `check`.

        An acknowledgement proves its stream, so those kept of its type go if they were sent before.
        """
        sent_at = time.monotonic()
        try:
            await self._acknowledged(message)
        except Unavailable:
            if self._is_latest(message, sent_at):
                self._unacknowledged[message.type] = sent_at, message
            raise
        if self._is_latest(message, sent_at):
            self._unacknowledged.pop(message.type, None)
        self._stored_at = time.monotonic()

    def _is_latest(self, message: Message, sent_at: float) -> bool:
        kept = self._unacknowledged.get(message.type)
        return kept is None or kept[0] <= sent_at

    async def _acknowledged(self, message: Message) -> None:
        with _bus_errors():
            await cancellable(
                self.stream_context.publish(
                    message.subject, message.payload, headers=dict(message.headers)
                )
            )

    def _check_connected(self) -> None:
        if not self.client.is_connected:
            raise Unavailable("The broker is away.", part=BROKER)


class OutageLog:
    """The log of outages: the reason when it changes, and once a minute."""

    def __init__(self, url: str) -> None:
        passwords = {info.rpartition(":")[2] for info in CREDENTIALS.findall(url)} - {""}
        self._secrets = passwords | {unquote(password) for password in passwords}
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


async def _connect(client: Client, url: str, outages: OutageLog) -> Exception | None:
    """Connect, however long it takes. Returns an error that no further try of nats-py can mend."""
    try:
        await client.connect(
            url,
            connect_timeout=CONNECT_TIMEOUT,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT,
            error_cb=outages.log,
        )
    except Exception as error:  # noqa: BLE001 - nats-py names no errors of an address
        return error
    return None


async def _unsubscribe(subscription: Subscription) -> None:
    with suppress(NatsError):
        await subscription.unsubscribe()


@contextmanager
def _bus_errors() -> Iterator[None]:
    try:
        yield
    except (NatsError, OSError, TimeoutError) as error:
        reason = f"The broker failed: {error or type(error).__name__}"
        raise Unavailable(reason, part=BROKER) from error
