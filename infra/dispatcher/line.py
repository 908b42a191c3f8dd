"""A line takes one route's events from its inlet to its function.

It holds `in_flight` slots, pulls a message only for a free one, posts it, and does what
`retry_policy.judge` says. Failures are counted in memory: a restart grants new attempts, because
JetStream's count of deliveries knows outages and restarts as well, and those are not the event's
fault.
"""

import asyncio
from datetime import datetime

import structlog

from events import DeliveryParked, Envelope, Event
from infra.dispatcher.consumer import Held, Inlet
from infra.dispatcher.delivery_request import Parcel
from infra.dispatcher.function_client import Courier
from infra.dispatcher.heartbeat import Pace, tended
from infra.dispatcher.retry_policy import Ack, Outcome, Park, Retry, Tally, judge
from infra.dispatcher.settings import DispatchSettings, Route
from shared.delivery import park
from shared.errors import Unavailable
from shared.ports import Publisher, utc_now

SOURCE = "dispatcher"
RECORDER = "persist"
PAUSE = 1.0

logger = structlog.get_logger()


class Line:
    """Takes one route's events from its inlet to its function."""

    def __init__(
        self,
        route: Route,
        inlet: Inlet,
        courier: Courier,
        publisher: Publisher,
        settings: DispatchSettings,
    ) -> None:
        self._route = route
        self._inlet = inlet
        self._courier = courier
        self._publisher = publisher
        self._settings = settings
        self._slots = asyncio.Semaphore(route.in_flight)
        self._deliveries: set[asyncio.Task[None]] = set()
        self._at_work: set[tuple[datetime, int]] = set()
        self._tallies: dict[tuple[datetime, int], Tally] = {}

    async def run(self) -> None:
        """Deliver until cancelled; deliveries in flight go on."""
        while True:
            await self._slots.acquire()
            try:
                held = await self._inlet.next()
            except Exception:
                logger.exception("defect", function=self._route.function, type=self._route.type)
                await asyncio.sleep(PAUSE)
                held = None
            if held is None:
                self._slots.release()
            else:
                self._start(held)

    async def drain(self, grace: float) -> None:
        """Let deliveries in flight finish; what the grace cuts off is delivered again later."""
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=grace)
        for delivery in self._deliveries:
            delivery.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)

    def _start(self, held: Held) -> None:
        delivery = asyncio.create_task(self._deliver(held))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._ended)

    def _ended(self, delivery: asyncio.Task[None]) -> None:
        self._deliveries.discard(delivery)
        self._slots.release()

    async def _deliver(self, held: Held) -> None:
        if held.key in self._at_work:  # it ran out of time while the broker was away
            await self._inlet.beat(held)
            return
        self._at_work.add(held.key)
        try:
            await self._attempt(held)
        except Exception:
            logger.exception("defect", **self._where(held))
            await self._inlet.nak(held, self._settings.backoff_cap)
        finally:
            self._at_work.discard(held.key)

    async def _attempt(self, held: Held) -> None:
        try:
            parcel = Parcel.unpack(held.message.data)
        except Exception:
            logger.exception("defect", **self._where(held))
            await self._inlet.term(held)
            return
        outcome = await self._post(parcel, held)
        await self._settle(parcel, held, outcome)

    async def _post(self, parcel: Parcel, held: Held) -> Outcome:
        settings = self._settings
        cap = max(settings.work_floor, settings.work_factor * parcel.audio_seconds)
        return await tended(
            self._courier.post(self._route.url, parcel),
            Pace.within(settings.ack_wait, cap),
            alive=lambda within: self._courier.alive(self._route.alive_url, within),
            beat=lambda: self._inlet.beat(held),
        )

    async def _settle(self, parcel: Parcel, held: Held, outcome: Outcome) -> None:
        tally = self._tallies.get(held.key, Tally())
        # What the recorder cannot write is its own trouble, not the call's (D19).
        may_park = self._route.function != RECORDER and (
            parcel.received.event_type != DeliveryParked.type
        )
        match judge(outcome, tally, self._settings.policy, may_park=may_park):
            case Ack():
                await self._done(parcel, held)
            case Retry(delay, after):
                self._remember(held, after)
                counts = {"delay": delay, "attempts": after.failures}
                self._log(parcel, held, "retried", reason=outcome.code, **counts)
                await self._inlet.nak(held, delay)
            case Park() as verdict:
                await self._park(parcel, held, verdict)

    def _remember(self, held: Held, tally: Tally) -> None:
        """Keep the tally; those of a broker that has been wiped since are of no more use."""
        if any(epoch != held.epoch for epoch, _ in self._tallies):
            self._tallies.clear()
        self._tallies[held.key] = tally

    async def _done(self, parcel: Parcel, held: Held) -> None:
        if await self._inlet.ack(held):
            self._tallies.pop(held.key, None)
        else:
            self._log(parcel, held, "unconfirmed")

    async def _park(self, parcel: Parcel, held: Held, verdict: Park) -> None:
        """Publish the parked delivery, and only then be done with the event."""
        try:
            await self._publisher.publish(self._parked(parcel, verdict))
        except Unavailable as error:
            self._log(parcel, held, "retried", reason=str(error))
            await self._inlet.nak(held, self._settings.backoff_base)
            return
        except ValueError:  # nobody can tell which recording it is about
            logger.exception("defect", **self._where(held))
            await self._inlet.term(held)
            return
        facts: dict[str, object] = {
            "attempts": verdict.attempts,
            "error_class": verdict.error_class,
        }
        if verdict.error_class == "permanent":
            facts["defect"] = f"{self._route.function} refused an event"
        self._log(parcel, held, "parked", reason=verdict.error_code, **facts)
        await self._done(parcel, held)

    def _parked(self, parcel: Parcel, verdict: Park) -> Envelope[Event]:
        received = parcel.received
        parked = park(
            received,
            self._route.function,
            error_class=verdict.error_class,
            error_code=verdict.error_code,
            attempts=verdict.attempts,
        )
        return received.causes(parked, SOURCE, utc_now())

    def _log(self, parcel: Parcel, held: Held, word: str, **facts: object) -> None:
        received = parcel.received
        logger.warning(
            word,
            type=received.event_type,
            id=received.id,
            recording=received.attributes.get("subject"),
            **self._where(held),
            **facts,
        )

    def _where(self, held: Held) -> dict[str, object]:
        return {
            "function": self._route.function,
            "subject": held.message.subject,
            "sequence": held.sequence,
        }
