"""One delivery: run the handler on an incoming event, publish what it returns, answer.

2xx: done, or parked. 500: retried with back-off. 503: retried as long as it takes.
Never another 4xx, which the cluster's pusher would drop without a trace.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from structlog.contextvars import bound_contextvars

from events import DeliveryParked
from shared.cloudevent import IncomingEvent, park, receive_event
from shared.errors import Permanent, Unavailable
from shared.function import Function
from shared.ports import Clock, utc_now
from shared.runtime import Parts, unavailable_response

logger = structlog.get_logger()

DELIVERIES = Counter(
    "pocwhisp_deliveries",
    "Deliveries to this process, by outcome: delivered, retried or parked.",
    ["function", "outcome"],
)
DELIVERY_SECONDS = Histogram(
    "pocwhisp_delivery_seconds",
    "Time per delivery.",
    ["function"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
REFUSALS = Counter(
    "pocwhisp_refusals",
    "Deliveries that this process had no room for; they are sent again.",
    ["function"],
)
DELIVERIES_PER_SLOT = 2
"""Deliveries that a function accepts per slot: one at work and one waiting."""


class Delivery:
    """The route that hands CloudEvents to one function, `concurrency` at a time.

    As many more wait. Any further one is refused with 503 at once, to be sent again: the broker
    keeps its queue safe, while one in memory would grow and be lost.
    """

    def __init__(
        self, function: Function[...], *, concurrency: int = 1, clock: Clock = utc_now
    ) -> None:
        self._function = function
        self._slots = asyncio.Semaphore(concurrency)
        self._room = DELIVERIES_PER_SLOT * concurrency
        self._clock = clock

    async def __call__(self, request: Request, parts: Parts) -> Response:
        received = await receive_event(request)
        if isinstance(received, Response):
            return received
        with bound_contextvars(function=self._function.name, **received.log_fields):
            return await self._queue(received, parts)

    def check_ports(self, given: Mapping[str, Any]) -> None:
        """Raise `TypeError` unless these are the ports that the handler asks for."""
        self._function.check_ports(given)

    async def _queue(self, received: IncomingEvent, parts: Parts) -> Response:
        if self._room == 0:
            return self._refuse()
        self._room -= 1
        try:
            async with self._slots:
                return await self._deliver(received, parts)
        finally:
            self._room += 1

    def _refuse(self) -> Response:
        REFUSALS.labels(self._function.name).inc()
        logger.info("refused", reason="as many deliveries as may are at work or waiting")
        return unavailable_response(Unavailable("Busy.", part="Room for one more delivery"))

    async def _deliver(self, received: IncomingEvent, parts: Parts) -> Response:
        started = time.perf_counter()
        failure: Exception | None = None
        try:
            outcome, reason = await self._run(received, parts)
            response = Response(status_code=204)
        except Unavailable as error:
            outcome, reason, response = "retried", error.reason, unavailable_response(error)
        except asyncio.CancelledError:
            self._log("retried", "cut off", time.perf_counter() - started, None)
            raise
        except Exception as error:  # noqa: BLE001 - it is logged with its delivery
            outcome, reason, failure = "retried", type(error).__name__, error
            response = JSONResponse({"error": getattr(error, "code", "server_error")}, 500)
        self._log(outcome, reason, time.perf_counter() - started, failure)
        return response

    async def _run(self, received: IncomingEvent, parts: Parts) -> tuple[str, str]:
        try:
            event = received.event(self._function.accepts)
            outputs = await self._function(event, **parts.ports, **self._facts_of(received))
            outcome, reason = "delivered", ""
        except Permanent as error:
            outputs = (self._parked(received, error),)
            outcome, reason = "parked", str(error)
        for output in outputs:
            envelope = received.causes(output, self._function.name, self._clock())
            await parts.publisher.publish(envelope)
        return outcome, reason

    def _facts_of(self, received: IncomingEvent) -> dict[str, Any]:
        """Return the arguments for the handler's parameters that are about the event itself."""
        facts = {"at": received.time, "redrive": received.redrive}
        return {name: facts[name] for name in self._function.event_parameters}

    def _parked(self, received: IncomingEvent, error: Permanent) -> DeliveryParked:
        return park(
            received,
            self._function.name,
            error_class="permanent",
            error_code=error.code,
            attempts=received.attempt or 1,
        )

    def _log(self, outcome: str, reason: str, seconds: float, failure: Exception | None) -> None:
        DELIVERIES.labels(self._function.name, outcome).inc()
        DELIVERY_SECONDS.labels(self._function.name).observe(seconds)
        log = logger.info if failure is None else logger.error
        because = {"reason": reason} if reason else {}
        log(outcome, ms=round(seconds * 1000, 1), exc_info=failure, **because)
