"""CloudEvents as they come in: parsed, answered if they cannot be, and given up."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import structlog
from cloudevents.http import CloudEvent, from_http
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from events import EVENTS, DeliveryParked, Envelope, Event
from shared.errors import Permanent
from shared.telemetry import next_traceparent, trace_id

logger = structlog.get_logger()
ATTRIBUTE_HEADER = "ce-"
ATTEMPT_HEADER = "x-pocwhisp-attempt"
"""Header in which the dispatcher gives the number of the attempt, from 1."""
NUMBER = re.compile("[0-9]{1,9}")
MOST_EVENT_BYTES = 1 << 20
"""Length of the longest event; the broker takes none that is longer."""


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """An event as it was delivered: CloudEvents attributes, and data not yet validated.

    `attempt` is the number of the delivery, from 1; None if the pusher does not tell.
    """

    attributes: Mapping[str, Any]
    data: Any
    attempt: int | None = None

    @property
    def id(self) -> str:
        return str(self.attributes["id"])

    @property
    def event_type(self) -> str:
        return str(self.attributes["type"])

    @property
    def redrive(self) -> int:
        return whole_number(str(self.attributes.get("redrive"))) or 0

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
            "run": whole_number(run),
            "trace": trace_id(self.traceparent),
            "attempt": self.attempt,
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


def whole_number(text: str) -> int | None:
    """Return the number that the digits stand for. Returns None for any other text."""
    return int(text) if NUMBER.fullmatch(text) else None


async def receive_event(request: Request) -> IncomingEvent | Response:
    """Parse a CloudEvent in binary or structured mode.

    Returns an answer instead if it cannot be read: 400 for a request without any CloudEvents
    header, which no pusher sends; 500 for a broken or too long CloudEvent, so that the pusher keeps
    it and finally sends it to the dead letters, and for one that was cut off.
    """
    try:
        event = parse_event(dict(request.headers), await _read_body(request))
        return replace(event, attempt=whole_number(request.headers.get(ATTEMPT_HEADER, "")))
    except ClientDisconnect:
        logger.info("cut_off", path=request.url.path)
        return Response(status_code=500)
    except Exception as error:  # the parser lets TypeError and ValueError out, too
        pushed = "cloudevents" in request.headers.get("content-type", "") or any(
            name.startswith(ATTRIBUTE_HEADER) for name in request.headers
        )
        logger.exception("unreadable", pushed=pushed)
        return JSONResponse(
            {"error": "invalid_request", "message": f"Not a CloudEvent: {error}"},
            500 if pushed else 400,
        )


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_EVENT_BYTES:
            raise ValueError(f"It has more than {MOST_EVENT_BYTES} bytes.")
    return bytes(body)


def parse_event(headers: Mapping[str, str], body: bytes) -> IncomingEvent:
    """Read a CloudEvent from HTTP headers and body, or from NATS headers and payload.

    Attributes in headers are percent-decoded (CloudEvents HTTP binding 1.0, section 3.1.3.2).
    """
    event: CloudEvent = from_http(
        {
            name: unquote(text) if name.lower().startswith(ATTRIBUTE_HEADER) else text
            for name, text in headers.items()
        },
        body,
    )
    return IncomingEvent(dict(event.get_attributes()), event.get_data())


def park(
    received: IncomingEvent, function: str, *, error_class: str, error_code: str, attempts: int
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
