"""One stream of the broker, read in order without leaving a trace there."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from infra.client.errors import ServerAway
from infra.client.urls import without_password
from shared.cancellation import heeding
from shared.nats_inbox import Inbox

CONNECT_TIMEOUT = 2.0
REQUEST_TIMEOUT = 5.0
SILENCE = 5.0
PAUSE = 0.5
BATCH = 256
PULL = json.dumps({"batch": BATCH, "expires": 30 * 10**9, "idle_heartbeat": 2 * 10**9}).encode()
HEARTBEAT = "100"
PULL_ENDS = ("404", "408")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """A connection that outlives the broker's restarts. Raise `ServerAway` if there is none."""
    client = Client()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await heeding(
                client.connect(
                    url, max_reconnect_attempts=-1, reconnect_time_wait=1, error_cb=_forget
                )
            )
    except (NatsError, OSError, TimeoutError, ValueError) as error:
        raise ServerAway(f"There is no broker at {without_password(url)}.") from error
    try:
        yield client
    finally:
        await client.close()


async def _forget(_: Exception) -> None:
    """A broker that is away is waited for."""


class StreamReader:
    """A stream's messages of one subject in their order, each once, as long as there are any.

    The consumer is the broker's to forget: after a gap, a silence or a restart there is a new one
    that goes on behind the last message.
    """

    def __init__(self, client: Client, stream: str, subject: str) -> None:
        self._client = client
        self._jetstream = client.jetstream(timeout=REQUEST_TIMEOUT)
        self._stream = stream
        self._subject = subject
        self._next = 1
        self._made: datetime | None = None
        self._inbox: Inbox | None = None
        self._pulls = ""
        self._delivered = 0
        self._pulled = 0

    async def open(self, *, from_start: bool) -> int:
        """Begin with the oldest message or the next to come; how many are there already."""
        while True:
            try:
                return await heeding(self._begin(from_start=from_start))
            except (NatsError, OSError, TimeoutError):
                await self._drop()
                await asyncio.sleep(PAUSE)

    async def next(self) -> Msg:
        """The next message, however long it takes."""
        while True:
            try:
                if self._inbox is None:
                    await heeding(self._consume())
                return await self._received()
            except (NatsError, OSError, TimeoutError):
                await self._drop()
                await asyncio.sleep(PAUSE)

    async def _begin(self, *, from_start: bool) -> int:
        state = (await self._jetstream.stream_info(self._stream)).state
        self._next = 1 if from_start else state.last_seq + 1
        return await self._consume()

    async def _consume(self) -> int:
        await self._start_over_in_a_new_stream()
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
        self._pulls = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer.name}"
        self._delivered = self._pulled = 0
        return consumer.num_pending or 0

    async def _start_over_in_a_new_stream(self) -> None:
        """A broker that was wiped counts from 1 again."""
        made = (await self._jetstream.stream_info(self._stream)).created
        if self._made not in (None, made):
            self._next = 1
        self._made = made

    async def _received(self) -> Msg:
        assert self._inbox is not None  # noqa: S101 - `next` has seen to it
        while True:
            if not self._pulled:
                await self._client.publish(self._pulls, PULL, reply=self._inbox.subject)
                self._pulled = BATCH
            message = await self._inbox.next(SILENCE)
            if message.reply:
                return self._counted(message)
            self._heed(message.headers or {})

    def _heed(self, headers: Mapping[str, str]) -> None:
        """Take note of a status. Raise `NatsError` if something is wrong with the pull."""
        status = headers.get("Status", "")
        if status in PULL_ENDS:
            self._pulled = 0
        elif status != HEARTBEAT:
            raise NatsError(f"The pull was refused: {status}")
        elif int(headers.get("Nats-Last-Consumer", 0)) > self._delivered:
            raise NatsError("The newest message is missing.")

    def _counted(self, message: Msg) -> Msg:
        """The message. Raise `NatsError` if one before it was lost on the way."""
        sequence = message.metadata.sequence
        if sequence.consumer != self._delivered + 1:
            raise NatsError("A message is missing.")
        self._delivered = sequence.consumer
        self._next = sequence.stream + 1
        self._pulled -= 1
        return message

    async def _drop(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            with suppress(NatsError, OSError):
                await inbox.close()
