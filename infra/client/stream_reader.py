"""Reads one stream of the broker in order; its consumers there vanish within a minute."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from infra.client.errors import ServerAway
from infra.client.urls import without_password
from shared.cancellation import cancellable
from shared.nats_inbox import REQUEST_TIMEOUT, Inbox, ends_pull, pull_request, pull_subject

FIRST_CONNECT_TIMEOUT = 2.0
SILENCE_LIMIT = 5.0
READ_RETRY_DELAY = 0.5
BATCH = 256
PULL_REQUEST = pull_request(BATCH, heartbeat=2)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """Connect, also through the broker's restarts. Raises `ServerAway` if it does not answer."""
    client = Client()
    try:
        async with asyncio.timeout(FIRST_CONNECT_TIMEOUT):
            await cancellable(
                client.connect(
                    url, max_reconnect_attempts=-1, reconnect_time_wait=1, error_cb=_ignore_error
                )
            )
    except (NatsError, OSError, TimeoutError, ValueError) as error:
        raise ServerAway(f"There is no broker at {without_password(url)}.") from error
    try:
        yield client
    finally:
        await client.close()


def check_open(client: Client) -> None:
    """Raise `ServerAway` if the connection is closed for good, as after an error of its login."""
    if client.is_closed:
        raise ServerAway("The broker has closed the connection.")


async def _ignore_error(_: Exception) -> None:
    """Ignore errors of the connection: the client connects again."""


class StreamReader:
    """The messages of a stream on one subject, in order, each once.

    The broker may drop the consumer: after a gap, a silence or a restart, a new one continues
    behind the last message.
    """

    def __init__(self, client: Client, stream: str, subject: str) -> None:
        self._client = client
        self._jetstream = client.jetstream(timeout=REQUEST_TIMEOUT)
        self._stream = stream
        self._subject = subject
        self._next = 1
        self._created: datetime | None = None
        self._inbox: Inbox | None = None
        self._pull_subject = ""
        self._delivered = 0
        self._outstanding = 0

    async def open(self, *, from_start: bool) -> int:
        """Begin with the oldest message, or with the next new one. Returns how many are stored.

        Raises `ServerAway` if the connection is closed for good.
        """
        while True:
            try:
                return await cancellable(self._begin(from_start=from_start))
            except (NatsError, OSError, TimeoutError):
                await self._recover()

    async def next(self) -> Msg:
        """Wait for the next message, without a time limit.

        Raises `ServerAway` if the connection is closed for good.
        """
        while True:
            try:
                if self._inbox is None:
                    await cancellable(self._consume())
                return await self._pull_message()
            except (NatsError, OSError, TimeoutError):
                await self._recover()

    async def _recover(self) -> None:
        """Wait before the next try. Raises `ServerAway` if there can be none."""
        await self._close_inbox()
        check_open(self._client)
        await asyncio.sleep(READ_RETRY_DELAY)

    async def _begin(self, *, from_start: bool) -> int:
        state = (await self._jetstream.stream_info(self._stream)).state
        self._next = 1 if from_start else state.last_seq + 1
        return await self._consume()

    async def _consume(self) -> int:
        await self._restart_in_new_stream()
        self._inbox = await Inbox.open(self._client)
        consumer = await self._jetstream.add_consumer(
            self._stream,
            ConsumerConfig(
                filter_subject=self._subject,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._next,
                ack_policy=AckPolicy.NONE,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=60.0,
            ),
        )
        self._pull_subject = pull_subject(self._stream, consumer.name)
        self._delivered = self._outstanding = 0
        return consumer.num_pending or 0

    async def _restart_in_new_stream(self) -> None:
        """Begin at 1 again if the stream is another one than before: the broker was wiped."""
        created = (await self._jetstream.stream_info(self._stream)).created
        if self._created not in (None, created):
            self._next = 1
        self._created = created

    async def _pull_message(self) -> Msg:
        assert self._inbox is not None  # noqa: S101 - `next` has seen to it
        while True:
            if not self._outstanding:
                await self._client.publish(
                    self._pull_subject, PULL_REQUEST, reply=self._inbox.subject
                )
                self._outstanding = BATCH
            message = await self._inbox.next(SILENCE_LIMIT)
            if message.reply:
                return self._check_sequence(message)
            self._check_status(message)

    def _check_status(self, status: Msg) -> None:
        """Handle a status message. Raises `NatsError` if the pull failed or a message was lost."""
        if ends_pull(status):
            self._outstanding = 0
        elif int((status.headers or {}).get("Nats-Last-Consumer", 0)) > self._delivered:
            raise NatsError("The newest message is missing.")

    def _check_sequence(self, message: Msg) -> Msg:
        """Return the message. Raises `NatsError` if one before it was lost."""
        sequence = message.metadata.sequence
        if sequence.consumer != self._delivered + 1:
            raise NatsError("A message is missing.")
        self._delivered = sequence.consumer
        self._next = sequence.stream + 1
        self._outstanding -= 1
        return message

    async def _close_inbox(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            with suppress(NatsError, OSError):
                await inbox.close()
