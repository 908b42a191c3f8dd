"""A subject of our own, and waiting for what comes there."""

import asyncio

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError


class Inbox:
    """A subject of our own, to which the broker sends what it was asked for."""

    def __init__(self, client: Client) -> None:
        self.subject = client.new_inbox()
        self._client = client
        # One place only: what else comes waits in the subscription, within nats-py's limits.
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue(maxsize=1)
        self._subscription: Subscription | None = None

    @classmethod
    async def open(cls, client: Client) -> "Inbox":
        """A fresh one. Raise `NatsError` if the connection is closed."""
        inbox = cls(client)
        inbox._subscription = await client.subscribe(inbox.subject, cb=inbox._arrived.put)
        return inbox

    async def next(self, within: float) -> Msg:
        """The next message. Cancelled, it loses none.

        Raise `TimeoutError` if none comes within so many seconds, and `ConnectionClosedError` if
        the connection was closed before; nothing tells of one that is closed meanwhile.
        """
        if self._client.is_closed:
            raise ConnectionClosedError
        try:
            async with asyncio.timeout(within):
                return await self._arrived.get()
        except TimeoutError:
            raise TimeoutError(f"Nothing came for {within:g} s.") from None

    async def close(self) -> None:
        """Take no more messages. Raise `NatsError` if the connection is closed."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()
