"""A consumer without a broker: what is to come again comes at once, whatever its delay."""

import asyncio
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.aio.msg import Msg

from infra.dispatcher.consumer import InFlightDelivery

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def delivery(payload: bytes, sequence: int = 1, epoch: datetime = EPOCH) -> InFlightDelivery:
    """A delivery as JetStream would make it."""
    reply = f"$JS.ACK.POCWHISP.merge.1.{sequence}.{sequence}.1700000000000000000.0"
    return InFlightDelivery(Msg(Client(), "io.pocwhisp.test", reply, payload), epoch)


class FakeConsumer:
    """Hands out what is `put`, and keeps what it is told about it, by sequence."""

    def __init__(self) -> None:
        self.acked: list[int] = []
        self.delays: list[tuple[int, float]] = []
        self.terminated: list[int] = []
        self.extended: list[int] = []
        self.stopped = False
        self.confirms = True
        self._queue: asyncio.Queue[InFlightDelivery] = asyncio.Queue()
        self._last = 0

    def put(self, payload: bytes, *, epoch: datetime = EPOCH, sequence: int | None = None) -> None:
        """Have it delivered, with the next sequence unless one is given."""
        self._last = sequence or self._last + 1
        self._queue.put_nowait(delivery(payload, self._last, epoch))

    async def next(self) -> InFlightDelivery | None:
        return await self._queue.get()

    async def stop(self) -> None:
        self.stopped = True

    async def ack(self, delivery: InFlightDelivery) -> bool:
        if self.confirms:
            self.acked.append(delivery.sequence)
        return self.confirms

    async def nak(self, delivery: InFlightDelivery, delay: float) -> None:
        self.delays.append((delivery.sequence, delay))
        self._queue.put_nowait(delivery)

    async def term(self, delivery: InFlightDelivery) -> None:
        self.terminated.append(delivery.sequence)

    async def extend_ack_wait(self, delivery: InFlightDelivery) -> None:
        self.extended.append(delivery.sequence)
