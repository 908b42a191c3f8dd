"""One delivery: parse the CloudEvent, run the handler, publish what it returns, answer.

2xx: done, or parked. 500: retried with back-off. 503: retried as long as it takes.
Never another 4xx, which the cluster's pusher would drop without a trace.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from cloudevents.http import CloudEvent, from_http
from prometheus_client import Counter, Histogram
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from structlog.contextvars import bound_contextvars

from events import EVENTS, DeliveryParked, Envelope, Event
from shared.errors import Permanent, Unavailable
from shared.function import EVENT_TIME, Function
from shared.ports import Clock, utc_now
from shared.runtime import Parts, unavailable_response
from shared.telemetry import next_traceparent, trace_id

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
ATTEMPT_HEADER = "x-pocwhisp-attempt"
"""Header in which the dispatcher gives the number of the attempt, from 1."""
NUMBER = re.compile("[0-9]{1,9}")
DELIVERIES_PER_SLOT = 2
"""Deliveries that a function accepts per slot: one at work and one waiting."""


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """An event as it was delivered: CloudEvents attributes, and data not yet validated."""

    attributes: Mapping[str, Any]
    data: Any

    @property
    def id(self) -> str:
        return str(self.attributes["id"])

    @property
    def event_type(self) -> str:
        return str(self.attributes["type"])

    @property
    def redrive(self) -> int:
        return int(self.attributes.get("redrive") or 0)

    @property
    def time(self) -> datetime | None:
        """The event's own time; None without one that can be read."""
        try:
            time = datetime.fromisoformat(str(self.attributes.get("time")))
        except ValueError:
            return None
        return time if time.tzinfo else None

    @property
    def log_fields(self) -> dict[str, object]:
        """The fields of a log line that identify the event; unknown ones are left out."""
        recording, _, run = str(self.attributes.get("correlationid") or "").partition("/")
        fields = {
            "type": self.event_type,
            "id": self.id,
            "recording": recording or self.attributes.get("subject"),
            "run": _number(run),
            "trace": trace_id(self.traceparent),
        }
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def traceparent(self) -> str | None:
        value = self.attributes.get("traceparent")
        return None if value is None else str(value)

    def causes(
        self, data: Event, source: str, time: datetime, *, redrive: int | None = None
    ) -> Envelope[Event]:
        """Return the envelope of an event that this one causes, in the same trace and re-drive.

        `redrive` overrides the number of the re-drive.
        """
        return Envelope(
            data=data,
            source=f"/pocwhisp/{source}",
            time=time,
            causationid=self.id,
            traceparent=next_traceparent(self.traceparent),
            redrive=self.redrive if redrive is None else redrive,
        )

    def event(self, accepts: tuple[type[Event], ...]) -> Event:
        """Return the typed data.

        Raises `Permanent` if the type is not among `accepts` or the data do not fit its schema.
        """
        model = EVENTS.get(self.event_type)
        if model is None or not issubclass(model, accepts):
            raise Permanent(
                "unexpected_type", f"Not an event for this function: {self.event_type}."
            )
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            raise Permanent(
                "invalid_event", f"{self.event_type} does not fit its schema: {error}"
            ) from error


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
        attempt = _number(request.headers.get(ATTEMPT_HEADER, ""))
        counted = {} if attempt is None else {"attempt": attempt}
        with bound_contextvars(function=self._function.name, **received.log_fields, **counted):
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
            outputs = await self._function(event, **parts.ports, **self._time_of(received))
            outcome, reason = "delivered", ""
        except Permanent as error:
            outputs = (self._parked(received, error),)
            outcome, reason = "parked", str(error)
        for output in outputs:
            envelope = received.causes(output, self._function.name, self._clock())
            await parts.publisher.publish(envelope)
        return outcome, reason

    def _time_of(self, received: IncomingEvent) -> dict[str, datetime | None]:
        return {EVENT_TIME: received.time} if self._function.wants_time else {}

    def _parked(self, received: IncomingEvent, error: Permanent) -> DeliveryParked:
        return park(received, self._function.name, error_class="permanent", error_code=error.code)

    def _log(self, outcome: str, reason: str, seconds: float, failure: Exception | None) -> None:
        DELIVERIES.labels(self._function.name, outcome).inc()
        DELIVERY_SECONDS.labels(self._function.name).observe(seconds)
        log = logger.info if failure is None else logger.error
        because = {"reason": reason} if reason else {}
        log(outcome, ms=round(seconds * 1000, 1), exc_info=failure, **because)


def _number(text: str) -> int | None:
    return int(text) if NUMBER.fullmatch(text) else None


async def receive_event(request: Request) -> IncomingEvent | Response:
    """Parse a CloudEvent in binary or structured mode.

    Returns an answer instead if it cannot be read: 400 for a request without any CloudEvents
    header, which no pusher sends; 500 for a broken CloudEvent, so that the pusher keeps it and
    finally sends it to the dead letters.
    """
    body = await request.body()
    try:
        return parse_event(dict(request.headers), body)
    except Exception as error:  # the parser lets TypeError and ValueError out, too
        pushed = "cloudevents" in request.headers.get("content-type", "") or any(
            name.startswith("ce-") for name in request.headers
        )
        logger.exception("unreadable", pushed=pushed)
        return JSONResponse(
            {"error": "invalid_request", "message": f"Not a CloudEvent: {error}"},
            500 if pushed else 400,
        )


def parse_event(headers: Mapping[str, str], body: bytes) -> IncomingEvent:
    """Read a CloudEvent from HTTP headers and body, or from NATS headers and payload."""
    event: CloudEvent = from_http(dict(headers), body)
    return IncomingEvent(dict(event.get_attributes()), event.get_data())


def park(
    received: IncomingEvent, function: str, *, error_class: str, error_code: str, attempts: int = 1
) -> DeliveryParked:
    """Return the event that a delivery was given up. Each re-drive is a series of attempts.

    Raises `ValueError` if the attributes do not name the recording.
    """
    recording, _, run = str(received.attributes.get("correlationid", "")).partition("/")
    return DeliveryParked.model_validate(
        {
            "tenant": received.attributes.get("tenant"),
            "recording": recording,
            "run": run,
            "function": function,
            "original_id": received.id,
            "original_type": received.event_type,
            "series": received.redrive + 1,
            "attempts": attempts,
            "error_class": error_class,
            "error_code": error_code,
        }
    )
