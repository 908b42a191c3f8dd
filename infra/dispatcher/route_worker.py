"""A route worker takes one route's events from its consumer to its function.

It holds `in_flight` slots, pulls a message only for a free one, posts it, and does what
`retry_policy.decide` says. Failures are counted in memory: a restart grants new attempts, because
JetStream's count of deliveries knows outages and restarts as well, and those are not the event's
fault.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from datetime import datetime

import structlog

from events import DeliveryParked, Envelope, Event
from infra.dispatcher.consumer import Consumer, InFlightDelivery
from infra.dispatcher.delivery_request import DeliveryRequest
from infra.dispatcher.failure_counts import FailureCounts
from infra.dispatcher.function_client import FunctionClient
from infra.dispatcher.heartbeat import HeartbeatTiming, with_heartbeat
from infra.dispatcher.retry_policy import Ack, AttemptOutcome, Park, Retry, Verdict, decide
from infra.dispatcher.settings import DispatchSettings, EventRoute
from shared.cloudevent import park
from shared.errors import Unavailable
from shared.ports import Publisher, utc_now

SOURCE = "dispatcher"
RECORDER = "persist"
DEFECT_DELAY = 1.0
HAND_BACK = 1.0
"""Seconds that handing deliveries back may take when the worker stops."""
WAITING_FOR_FUNCTION = 16
"""Events in the back-off of an outage besides those in flight; more stay in the broker."""

logger = structlog.get_logger()


class RouteWorker:
    """Takes one route's events from its consumer to its function.

    An event in the back-off of its own failure takes no slot. While the function is away, only
    a few events are tried in turn, so that an outage costs the same however long the queue is.
    """

    def __init__(
        self,
        route: EventRoute,
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
        self._place_semaphore = asyncio.Semaphore(route.in_flight + WAITING_FOR_FUNCTION)
        self._tasks: set[asyncio.Task[float]] = set()
        self._in_flight: dict[tuple[datetime, int], InFlightDelivery] = {}
        self._counts = FailureCounts(settings.max_attempts)

    async def run(self) -> None:
        """Deliver until cancelled; deliveries in flight go on."""
        while True:
            await self._slots.acquire()
            await self._place_semaphore.acquire()
            try:
                delivery = await self._consumer.next()
            except Exception:
                logger.exception("defect", function=self._route.function, type=self._route.type)
                await asyncio.sleep(DEFECT_DELAY)
                delivery = None
            if delivery is None:
                self._slots.release()
                self._place_semaphore.release()
            else:
                self._start(delivery)

    async def drain(self, grace: float) -> None:
        """Let deliveries in flight finish; hand those that take longer than `grace` (s) back."""
        await _limited(self._consumer.stop())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        cut_off = tuple(self._in_flight.values())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await _limited(self._hand_back(cut_off))

    async def _hand_back(self, deliveries: Iterable[InFlightDelivery]) -> None:
        for delivery in deliveries:
            await self._consumer.nak(delivery, 0)

    def _start(self, delivery: InFlightDelivery) -> None:
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[float]) -> None:
        self._tasks.discard(task)
        self._slots.release()
        failed = task.cancelled() or task.exception() is not None
        outage = 0.0 if failed else task.result()
        asyncio.get_running_loop().call_later(outage, self._place_semaphore.release)

    async def _deliver(self, delivery: InFlightDelivery) -> float:
        """Deliver once.

        Returns the seconds for which its entry in `_place_semaphore` stays taken: 0 unless the
        function is away.
        """
        if delivery.key in self._in_flight:  # it ran out of time while the broker was away
            await self._consumer.extend_ack_wait(delivery)
            return 0
        self._in_flight[delivery.key] = delivery
        try:
            return await self._attempt(delivery)
        except Exception:
            logger.exception("defect", **self._where(delivery))
            await self._consumer.nak(delivery, self._settings.backoff_cap)
            return 0
        finally:
            del self._in_flight[delivery.key]

    async def _attempt(self, delivery: InFlightDelivery) -> float:
        try:
            event = DeliveryRequest.from_structured(delivery.message.data)
        except Exception:
            logger.exception("defect", **self._where(delivery))
            await self._consumer.term(delivery)
            return 0
        clock = asyncio.get_running_loop().time
        started = clock()
        outcome = await self._post(event, delivery)
        match self._decide(event, delivery, outcome, clock() - started):
            case Ack():
                await self._done(event, delivery)
            case Retry() as verdict:
                await self._retry(event, delivery, verdict, outcome.code)
                return verdict.delay if verdict.is_outage else 0
            case Park() as verdict:
                await self._park(event, delivery, verdict)
        return 0

    async def _post(self, event: DeliveryRequest, delivery: InFlightDelivery) -> AttemptOutcome:
        settings = self._settings
        cap = max(settings.work_floor, settings.work_factor * event.audio_seconds)
        attempt = self._counts.of(delivery).failures + 1
        return await with_heartbeat(
            self._client.post(self._route.url, event, attempt),
            HeartbeatTiming.within(settings.ack_wait, cap),
            probe=lambda within: self._client.probe(self._route.alive_url, within),
            extend_ack_wait=lambda: self._consumer.extend_ack_wait(delivery),
        )

    def _decide(
        self,
        event: DeliveryRequest,
        delivery: InFlightDelivery,
        outcome: AttemptOutcome,
        seconds: float,
    ) -> Verdict:
        # What the recorder cannot write is a failure of the recorder, not of the event.
        may_park = self._route.function != RECORDER and (
            event.received.event_type != DeliveryParked.type
        )
        policy = self._settings.policy
        return decide(
            outcome,
            self._counts.of(delivery),
            policy,
            may_park=may_park,
            stuck_delay=policy.stuck_delay(self._counts.stuck + 1, seconds),
        )

    async def _retry(
        self, event: DeliveryRequest, delivery: InFlightDelivery, verdict: Retry, reason: str
    ) -> None:
        was_stuck = self._counts.is_stuck(delivery)
        self._counts.put(delivery, verdict.count)
        facts: dict[str, object] = {"attempts": verdict.count.failures, "reason": reason}
        if self._counts.is_stuck(delivery):
            facts["stuck"] = self._counts.stuck
            if not was_stuck:
                self._log(event, delivery, "stuck", **facts)
        self._log(event, delivery, "retried", delay=verdict.delay, **facts)
        await self._consumer.nak(delivery, verdict.delay)

    async def _done(self, event: DeliveryRequest, delivery: InFlightDelivery) -> None:
        if not await self._consumer.ack(delivery):
            self._log(event, delivery, "unconfirmed")
            return
        was_stuck = self._counts.is_stuck(delivery)
        self._counts.remove(delivery)
        if was_stuck:
            self._log(event, delivery, "unstuck", stuck=self._counts.stuck)

    async def _park(
        self, event: DeliveryRequest, delivery: InFlightDelivery, verdict: Park
    ) -> None:
        """Publish the parked delivery, and only then acknowledge the event."""
        try:
            await self._publisher.publish(self._parked(event, verdict))
        except Unavailable as error:
            self._log(event, delivery, "retried", reason=str(error))
            await self._consumer.nak(delivery, self._settings.backoff_base)
            return
        except ValueError:  # nobody can tell which recording it is about
            logger.exception("defect", **self._where(delivery))
            await self._consumer.term(delivery)
            self._counts.remove(delivery)
            return
        facts: dict[str, object] = {
            "attempts": verdict.attempts,
            "error_class": verdict.error_class,
        }
        if verdict.error_class == "permanent":
            facts["defect"] = f"{self._route.function} refused an event"
        self._log(event, delivery, "parked", reason=verdict.error_code, **facts)
        await self._done(event, delivery)

    def _parked(self, event: DeliveryRequest, verdict: Park) -> Envelope[Event]:
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
        self, event: DeliveryRequest, delivery: InFlightDelivery, event_name: str, **facts: object
    ) -> None:
        received = event.received
        logger.warning(
            event_name,
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


async def _limited(work: Awaitable[None]) -> None:
    """Await `work` for at most HAND_BACK seconds: the ack wait has the same effect later."""
    with suppress(TimeoutError):
        async with asyncio.timeout(HAND_BACK):
            await work
