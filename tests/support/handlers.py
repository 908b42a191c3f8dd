"""What the tests of handlers share."""

from collections.abc import Sequence

from events import Event
from events.documents import Request
from tests.support.examples import merged

KEY = merged().run_key
DIGESTS = {"digest", "summary_digest"}
REQUEST = Request(prompt="about a refund")


def undigested(events: Sequence[Event]) -> tuple[Event, ...]:
    """The events without the digests of their documents, as the examples are."""
    return tuple(
        event.model_copy(update=dict.fromkeys(DIGESTS & type(event).model_fields.keys()))
        for event in events
    )
