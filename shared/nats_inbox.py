"""An inbox: a subject of one client, read message by message."""

import asyncio

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError


class Inbox:
    """A subject of one client, to which the broker sends its answers."""

    def __init__(self, client: Client) -> None:
        self.subject = client.new_inbox()
        self._client = client
        # One place only: what else comes waits in the subscription, within nats-py's limits.
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue(maxsize=1)
        self._subscription: Subscription | None = None

    @classmethod
    async def open(cls, client: Client) -> "Inbox":
        """Return a new inbox. Raises `NatsError` if the connection is closed."""
        inbox = cls(client)
        inbox._subscription = await client.subscribe(inbox.subject, cb=inbox._arrived.put)
        return inbox

    async def next(self, within: float) -> Msg:
        """Return the next message; a cancelled call loses none.

        Raises `TimeoutError` if none arrives `within` that many seconds, also if the connection is
        closed meanwhile, and `ConnectionClosedError` if it was closed before.
        """
        if self._client.is_closed:
            raise ConnectionClosedError
        try:
            async with asyncio.timeout(within):
                return await self._arrived.get()
        except TimeoutError:
            raise TimeoutError(f"Nothing came for {within:g} s.") from None

    async def close(self) -> None:
        """Accept no more messages. Raises `NatsError` if the connection is closed."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()
