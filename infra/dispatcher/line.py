"""A line takes one route's events from its consumer to its function.

It holds `in_flight` slots, pulls a message only for a free one, posts it, and does what
`retry_policy.decide` says. Failures are counted in memory: a restart grants new attempts, because
JetStream's count of deliveries knows outages and restarts as well, and those are not the event's
fault.
"""

import asyncio
from datetime import datetime

import structlog

from events import DeliveryParked, Envelope, Event
from infra.dispatcher.consumer import Consumer, InFlightDelivery
from infra.dispatcher.delivery_request import HttpEvent
from infra.dispatcher.function_client import FunctionClient
from infra.dispatcher.heartbeat import HeartbeatTiming, with_heartbeat
from infra.dispatcher.retry_policy import Ack, FailureCount, Outcome, Park, Retry, decide
from infra.dispatcher.settings import DispatchSettings, Route
from shared.delivery import park
from shared.errors import Unavailable
from shared.ports import Publisher, utc_now

SOURCE = "dispatcher"
RECORDER = "persist"
PAUSE = 1.0

logger = structlog.get_logger()


class Line:
    """Takes one route's events from its consumer to its function."""

    def __init__(
        self,
        route: Route,
        consumer: Consumer,
        client: FunctionClient,
        publisher: Publisher,
        settings: DispatchSettings,
    ) -> None:
        self._route = route
        self._consumer = consumer
        self._client = client
        self._publisher = publisher
        self._settings = settings
        self._slots = asyncio.Semaphore(route.in_flight)
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_work: set[tuple[datetime, int]] = set()
        self._counts: dict[tuple[datetime, int], FailureCount] = {}

    async def run(self) -> None:
        """Deliver until cancelled; deliveries in flight go on."""
        while True:
            await self._slots.acquire()
            try:
                delivery = await self._consumer.next()
            except Exception:
                logger.exception("defect", function=self._route.function, type=self._route.type)
                await asyncio.sleep(PAUSE)
                delivery = None
            if delivery is None:
                self._slots.release()
            else:
                self._start(delivery)

    async def drain(self, grace: float) -> None:
        """Let deliveries in flight finish; what the grace cuts off is delivered again later."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, delivery: InFlightDelivery) -> None:
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()

    async def _deliver(self, delivery: InFlightDelivery) -> None:
        if delivery.key in self._at_work:  # it ran out of time while the broker was away
            await self._consumer.extend_ack_wait(delivery)
            return
        self._at_work.add(delivery.key)
        try:
            await self._attempt(delivery)
        except Exception:
            logger.exception("defect", **self._where(delivery))
            await self._consumer.nak(delivery, self._settings.backoff_cap)
        finally:
            self._at_work.discard(delivery.key)

    async def _attempt(self, delivery: InFlightDelivery) -> None:
        try:
            event = HttpEvent.from_structured(delivery.message.data)
        except Exception:
            logger.exception("defect", **self._where(delivery))
            await self._consumer.term(delivery)
            return
        outcome = await self._post(event, delivery)
        await self._carry_out(event, delivery, outcome)

    async def _post(self, event: HttpEvent, delivery: InFlightDelivery) -> Outcome:
        settings = self._settings
        cap = max(settings.work_floor, settings.work_factor * event.audio_seconds)
        return await with_heartbeat(
            self._client.post(self._route.url, event),
            HeartbeatTiming.within(settings.ack_wait, cap),
            is_alive=lambda within: self._client.is_alive(self._route.alive_url, within),
            extend_ack_wait=lambda: self._consumer.extend_ack_wait(delivery),
        )

    async def _carry_out(
        self, event: HttpEvent, delivery: InFlightDelivery, outcome: Outcome
    ) -> None:
        count = self._counts.get(delivery.key, FailureCount())
        # What the recorder cannot write is its own trouble, not the call's (D19).
        may_park = self._route.function != RECORDER and (
            event.received.event_type != DeliveryParked.type
        )
        match decide(outcome, count, self._settings.policy, may_park=may_park):
            case Ack():
                await self._done(event, delivery)
            case Retry(delay, after):
                self._keep_count(delivery, after)
                counts = {"delay": delay, "attempts": after.failures}
                self._log(event, delivery, "retried", reason=outcome.code, **counts)
                await self._consumer.nak(delivery, delay)
            case Park() as verdict:
                await self._park(event, delivery, verdict)

    def _keep_count(self, delivery: InFlightDelivery, count: FailureCount) -> None:
        """Keep the count; those of a broker that has been wiped since are of no more use."""
        if any(epoch != delivery.epoch for epoch, _ in self._counts):
            self._counts.clear()
        self._counts[delivery.key] = count

    async def _done(self, event: HttpEvent, delivery: InFlightDelivery) -> None:
        if await self._consumer.ack(delivery):
            self._counts.pop(delivery.key, None)
        else:
            self._log(event, delivery, "unconfirmed")

    async def _park(self, event: HttpEvent, delivery: InFlightDelivery, verdict: Park) -> None:
        """Publish the parked delivery, and only then be done with the event."""
        try:
            await self._publisher.publish(self._parked(event, verdict))
        except Unavailable as error:
            self._log(event, delivery, "retried", reason=str(error))
            await self._consumer.nak(delivery, self._settings.backoff_base)
            return
        except ValueError:  # nobody can tell which recording it is about
            logger.exception("defect", **self._where(delivery))
            await self._consumer.term(delivery)
            return
        facts: dict[str, object] = {
            "attempts": verdict.attempts,
            "error_class": verdict.error_class,
        }
        if verdict.error_class == "permanent":
            facts["defect"] = f"{self._route.function} refused an event"
        self._log(event, delivery, "parked", reason=verdict.error_code, **facts)
        await self._done(event, delivery)

    def _parked(self, event: HttpEvent, verdict: Park) -> Envelope[Event]:
        received = event.received
        parked = park(
            received,
            self._route.function,
            error_class=verdict.error_class,
            error_code=verdict.error_code,
            attempts=verdict.attempts,
        )
        return received.causes(parked, SOURCE, utc_now())

    def _log(
        self, event: HttpEvent, delivery: InFlightDelivery, word: str, **facts: object
    ) -> None:
        received = event.received
        logger.warning(
            word,
            type=received.event_type,
            id=received.id,
            recording=received.attributes.get("subject"),
            **self._where(delivery),
            **facts,
        )

    def _where(self, delivery: InFlightDelivery) -> dict[str, object]:
        return {
            "function": self._route.function,
            "subject": delivery.message.subject,
            "sequence": delivery.sequence,
        }
