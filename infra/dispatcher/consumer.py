"""Where a line takes its deliveries from, and tells what became of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from nats.aio.msg import Msg


@dataclass(frozen=True, slots=True)
class InFlightDelivery:
    """A message that is ours until its ack wait runs out.

    `epoch` is when its consumer was made: after the broker was wiped the same sequence is
    another message, and an ack for this one would confirm that one.
    """

    message: Msg
    epoch: datetime

    @property
    def sequence(self) -> int:
        """Place in the stream, counted from 1."""
        return self.message.metadata.sequence.stream

    @property
    def key(self) -> tuple[datetime, int]:
        """What tells the message from all others of its route."""
        return self.epoch, self.sequence


class Consumer(Protocol):
    """The deliveries of one route. With the broker away, calls wait until it is back."""

    async def next(self) -> InFlightDelivery | None:
        """Pull the next message; None if there was none for a while."""

    async def stop(self) -> None:
        """Pull no more, and have what came meanwhile delivered again at once."""

    async def ack(self, delivery: InFlightDelivery) -> bool:
        """Acknowledge. Returns whether the broker confirmed it; if not, the message comes again."""

    async def nak(self, delivery: InFlightDelivery, delay: float) -> None:
        """Have the message delivered again in `delay` seconds."""

    async def term(self, delivery: InFlightDelivery) -> None:
        """Never have the message delivered again."""

    async def extend_ack_wait(self, delivery: InFlightDelivery) -> None:
        """Begin the message's ack wait anew."""
