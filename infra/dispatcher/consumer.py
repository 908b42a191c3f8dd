"""The port through which a route worker pulls its deliveries and acknowledges them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from nats.aio.msg import Msg


@dataclass(frozen=True, slots=True)
class InFlightDelivery:
    """A message that the broker gives to nobody else until its ack wait ends.

    `epoch` is the time at which its consumer was made: once the broker was wiped, the same
    sequence number is another message, which an ack of this one would confirm.
    """

    message: Msg
    epoch: datetime

    @property
    def sequence(self) -> int:
        """Place in the stream, counted from 1."""
        return self.message.metadata.sequence.stream

    @property
    def key(self) -> tuple[datetime, int]:
        """The identity of the message within its route."""
        return self.epoch, self.sequence


class Consumer(Protocol):
    """The deliveries of one route. While the broker is away, calls wait."""

    async def next(self) -> InFlightDelivery | None:
        """Pull the next message. Returns None if none comes within the pull's time limit."""

    async def stop(self) -> None:
        """Stop pulling; a message that has arrived meanwhile is delivered again at once."""

    async def ack(self, delivery: InFlightDelivery) -> bool:
        """Acknowledge. Returns whether the broker confirms it; if not, the message comes again."""

    async def nak(self, delivery: InFlightDelivery, delay: float) -> None:
        """Have the message delivered again in `delay` seconds."""

    async def term(self, delivery: InFlightDelivery) -> None:
        """Have the message never delivered again."""

    async def extend_ack_wait(self, delivery: InFlightDelivery) -> None:
        """Start the message's ack wait anew."""
