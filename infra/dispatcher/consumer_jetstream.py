"""`Consumer` on JetStream: one durable pull consumer per route."""

import asyncio
from contextlib import suppress
from datetime import datetime

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from infra.dispatcher.broker import STREAM, BrokerConnection
from infra.dispatcher.consumer import InFlightDelivery
from infra.dispatcher.settings import EventRoute
from shared.cancellation import cancellable
from shared.nats_inbox import REQUEST_TIMEOUT, Inbox, ends_pull, pull_request, pull_subject

PULL_REQUEST = pull_request(batch=1, heartbeat=10)
SILENCE_LIMIT = 25.0
BIND_RETRY_DELAY = 0.25
LONGEST_BIND_RETRY_DELAY = 5.0

logger = structlog.get_logger()


class JetStreamConsumer:
    """The durable pull consumer of one route, made anew whenever the broker lost it.

    Calls wait until the consumer exists.
    """

    def __init__(self, broker: BrokerConnection, route: EventRoute, ack_wait: float) -> None:
        self._broker = broker
        self._jetstream = broker.client.jetstream(timeout=REQUEST_TIMEOUT)
        self._route = route
        self._ack_wait = ack_wait
        self._bind_lock = asyncio.Lock()
        self._bound = False
        self._inbox: Inbox | None = None
        self._pull_subject = ""
        self._epoch: datetime | None = None
        self._pull_timeout: asyncio.Timeout | None = None
        broker.when_connected(self.reset)

    def reset(self) -> None:
        """Bind the consumer anew; a pull under way may have been lost with the connection."""
        self._bound = False
        if self._pull_timeout is not None and not self._pull_timeout.expired():
            self._pull_timeout.reschedule(0)

    async def next(self) -> InFlightDelivery | None:
        inbox, epoch = await self.ensure_bound()
        try:
            async with asyncio.timeout(None) as self._pull_timeout:
                message = await self._pull_message(inbox)
        except (NatsError, OSError, TimeoutError) as error:
            if self._bound:
                await self._pause(error)
            return None
        finally:
            self._pull_timeout = None
        return None if message is None else InFlightDelivery(message, epoch)

    async def _pull_message(self, inbox: Inbox) -> Msg | None:
        """Pull one message. Returns None if none came in time."""
        await self._broker.client.publish(self._pull_subject, PULL_REQUEST, reply=inbox.subject)
        while True:
            message = await inbox.next(SILENCE_LIMIT)
            if message.reply:
                return message
            if ends_pull(message):
                return None

    async def stop(self) -> None:
        """Stop pulling; a message that has arrived meanwhile is delivered again at once."""
        if self._inbox is None:
            return
        with suppress(NatsError, OSError):
            await self._inbox.close()
            message = await self._inbox.next(0)
            if message.reply:
                await message.nak()

    async def ack(self, delivery: InFlightDelivery) -> bool:
        if not await self._is_current(delivery):
            return False
        try:
            await cancellable(delivery.message.ack_sync(timeout=REQUEST_TIMEOUT))
        except (NatsError, OSError):
            return False
        return True

    async def nak(self, delivery: InFlightDelivery, delay: float) -> None:
        if await self._is_current(delivery):
            with suppress(NatsError, OSError):
                await delivery.message.nak(delay)

    async def term(self, delivery: InFlightDelivery) -> None:
        if await self._is_current(delivery):
            with suppress(NatsError, OSError):
                await delivery.message.term()

    async def extend_ack_wait(self, delivery: InFlightDelivery) -> None:
        if delivery.epoch == self._epoch:
            with suppress(NatsError, OSError):
                await delivery.message.in_progress()

    async def ensure_bound(self) -> tuple[Inbox, datetime]:
        """Wait until the broker has the consumer. Returns its inbox and its epoch."""
        async with self._bind_lock:
            pause, reason = BIND_RETRY_DELAY, ""
            while not self._bound or self._inbox is None or self._epoch is None:
                await self._broker.wait_until_connected()
                try:
                    await cancellable(self._bind())
                except (NatsError, OSError) as error:
                    if str(error) != reason:
                        logger.warning("consumer_away", consumer=self._name, reason=str(error))
                    reason = str(error)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_BIND_RETRY_DELAY)
            return self._inbox, self._epoch

    async def _bind(self) -> None:
        self._bound = True
        try:
            stream = await self._stream()
            info = await self._jetstream.add_consumer(stream, self.config)
            stale, self._inbox = self._inbox, None
            if stale is not None:
                await stale.close()
            # A fresh one: answers to pulls that were lost with the connection must not fill it.
            self._inbox = await Inbox.open(self._broker.client)
            self._pull_subject = pull_subject(stream, self._name)
        except BaseException:
            self._bound = False
            raise
        if info.created != self._epoch:
            logger.info("consuming", consumer=self._name, stream=stream)
        self._epoch = info.created

    async def _stream(self) -> str:
        """Return the stream that holds the route's events; make ours only if there is none."""
        try:
            return await self._jetstream.find_stream_name_by_subject(self._route.subject)
        except NotFoundError:
            await self._jetstream.add_stream(STREAM)
            return str(STREAM.name)

    async def _is_current(self, delivery: InFlightDelivery) -> bool:
        _, epoch = await self.ensure_bound()
        return delivery.epoch == epoch

    async def _pause(self, error: Exception) -> None:
        logger.warning("consumer_lost", consumer=self._name, reason=str(error))
        self._bound = False
        await asyncio.sleep(BIND_RETRY_DELAY)

    @property
    def _name(self) -> str:
        return self._route.consumer

    @property
    def config(self) -> ConsumerConfig:
        return ConsumerConfig(
            name=self._name,
            durable_name=self._name,
            filter_subject=self._route.subject,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait,
            max_deliver=-1,
            # The route worker limits what is in flight: for the broker, an event in its back-off
            # is in flight as well.
            max_ack_pending=-1,
        )
