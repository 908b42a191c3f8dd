"""An inbox: a subject of one client, read message by message; and pulling from a consumer into it.

nats-py's own `fetch` does not notice that a consumer is gone.
"""

import asyncio
import json

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError

REQUEST_TIMEOUT = 5.0
"""Seconds in which the broker answers a request of ours."""
PULL_EXPIRES = 30
"""Seconds until the broker ends a pull that is not full."""
IDLE_HEARTBEAT = "100"
PULL_ENDED = ("404", "408")


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


def pull_request(batch: int, heartbeat: int) -> bytes:
    """Return the request for up to `batch` messages, with a heartbeat after so many idle seconds.

    It is published on the `pull_subject`, with an inbox to reply to.
    """
    second = 10**9
    return json.dumps(
        {"batch": batch, "expires": PULL_EXPIRES * second, "idle_heartbeat": heartbeat * second}
    ).encode()


def pull_subject(stream: str, consumer: str) -> str:
    """Return the subject of pull requests to a consumer."""
    return f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"


def ends_pull(status: Msg) -> bool:
    """Return whether a message without a reply subject ends its pull; a heartbeat does not.

    Raises `NatsError` if the pull was refused.
    """
    headers = status.headers or {}
    code = headers.get("Status", "")
    if code not in (*PULL_ENDED, IDLE_HEARTBEAT):
        raise NatsError(f"The pull was refused: {code} {headers}")
    return code in PULL_ENDED
