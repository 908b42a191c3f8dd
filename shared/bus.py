"""The event bus, done with NATS JetStream."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from events import Envelope, Event
from shared.errors import Unavailable

STRUCTURED = "application/cloudevents+json"
PUBLISH_TIMEOUT = 5.0
CONNECT_TIMEOUT = 2
RECONNECT_WAIT = 1


class Bus:
    """`ports.Publisher` on JetStream, and the questions the sweep and ingest ask the broker."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.stream_context = client.jetstream(timeout=PUBLISH_TIMEOUT)

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str) -> AsyncIterator["Bus"]:
        """Connect, and stay connected through the broker's restarts, while the context lasts.

        With the broker away it goes on trying, and what is published meanwhile is `Unavailable`.
        """
        client = Client()
        connecting = asyncio.create_task(_connect(client, url))
        await asyncio.wait([connecting], timeout=CONNECT_TIMEOUT)
        try:
            yield cls(client)
        finally:
            connecting.cancel()
            await client.close()

    async def publish(self, envelope: Envelope[Event]) -> None:
        """Publish in structured mode and wait for the PubAck."""
        await self.check()
        with _bus_errors():
            await self.stream_context.publish(
                envelope.data.subject,
                json.dumps(envelope.structured()).encode(),
                headers={"content-type": STRUCTURED, "Nats-Msg-Id": envelope.message_id},
            )

    async def last(self, subject: str) -> dict[str, Any] | None:
        """The last event the broker keeps on this subject, as structured JSON, or None."""
        await self.check()
        with _bus_errors():
            try:
                stream = await self.stream_context.find_stream_name_by_subject(subject)
                message = await self.stream_context.get_last_msg(stream, subject)
            except NotFoundError:
                return None
        event: dict[str, Any] = json.loads(message.data or b"{}")
        return event

    @asynccontextmanager
    async def heard(self, *subjects: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when a message passes on one of the subjects.

        A hint to look at the record at once, never a proof: nobody redelivers it. With the broker
        away it is never set.
        """
        notice = asyncio.Event()

        async def note(_: object) -> None:
            notice.set()

        subscriptions = []
        if self.client.is_connected:
            subscriptions = [await self.client.subscribe(subject, cb=note) for subject in subjects]
        try:
            yield notice
        finally:
            with suppress(NatsError):
                for subscription in subscriptions:
                    await subscription.unsubscribe()

    async def check(self) -> None:
        """Raise `Unavailable` unless the broker answers."""
        if not self.client.is_connected:
            raise Unavailable("The broker is away.")


async def _connect(client: Client, url: str) -> None:
    await client.connect(
        url,
        connect_timeout=CONNECT_TIMEOUT,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_WAIT,
        error_cb=_forget,
    )


async def _forget(_: Exception) -> None:
    """Connection errors show where they matter: in the call that fails."""


@contextmanager
def _bus_errors() -> Iterator[None]:
    try:
        yield
    except (NatsError, OSError, TimeoutError) as error:
        raise Unavailable(f"The broker failed: {error or type(error).__name__}") from error
