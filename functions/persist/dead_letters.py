"""The route `/parked` for dead letters: events that the cluster's pusher gave up.

They arrive unchanged.

Knative adds to a dead event where it could not be delivered and what the last answer was
(`knativeerrordest`, `knativeerrorcode`).
"""

from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import Response

from events import Envelope, Event
from shared.cloudevent import IncomingEvent, park, receive_event
from shared.errors import Permanent, Unavailable
from shared.ports import Clock, utc_now
from shared.runtime import Parts, unavailable_response

OUTAGE_STATUS = "503"
PERSIST = "persist"
UNTOLD_ATTEMPTS = 1
"""The attempts that are certain: Knative does not tell how many there were."""
logger = structlog.get_logger()


class DeadLetters:
    """The route for dead letters: each is parked, or sent again if the call is not the cause.

    After an outage, or a failure of persist itself, the event begins a new series of attempts
    under a new message id.
    """

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock

    async def __call__(self, request: Request, parts: Parts) -> Response:
        received = await receive_event(request)
        if isinstance(received, Response):
            return received
        try:
            await parts.publisher.publish(self.replacement_for(received))
        except Unavailable as error:
            return unavailable_response(error)
        except (Permanent, ValueError):
            logger.exception("unreadable", id=received.id, type=received.event_type)
        return Response(status_code=204)

    def replacement_for(self, received: IncomingEvent) -> Envelope[Event]:
        """Return the event to publish for a dead letter.

        Raises `Permanent` or `ValueError` if it does not name its recording.
        """
        function = failed_function(received)
        code = str(received.attributes.get("knativeerrorcode", ""))
        logger.warning("dead", function=function, code=code, id=received.id)
        if code == OUTAGE_STATUS or function == PERSIST:
            again = received.event((Event,))
            return received.causes(again, PERSIST, self._clock(), redrive=received.redrive + 1)
        error = f"http_{code}" if code.isdigit() else "undeliverable"
        parked = park(
            received, function, error_class="exhausted", error_code=error, attempts=UNTOLD_ATTEMPTS
        )
        return received.causes(parked, PERSIST, self._clock())


def failed_function(received: IncomingEvent) -> str:
    """Return the function that the event could not be delivered to: its host's first label."""
    host = urlsplit(str(received.attributes.get("knativeerrordest", ""))).hostname or "unknown"
    return host.partition(".")[0]
