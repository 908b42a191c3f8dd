"""What the tests of handlers share."""

from collections.abc import Sequence
from typing import TypeVar

from events import Event
from events.documents import Request
from tests.support.examples import merged

KEY = merged().run_key
E = TypeVar("E", bound=Event)
KEYS = {"audio", "audio_right", "request", "levels", "transcript", "summary"}
DIGESTS = {"digest", "summary_digest"}
REQUEST = Request(prompt="about a refund")


def undigested(events: Sequence[Event]) -> tuple[Event, ...]:
    """The events without the digests of their documents, as the examples are."""
    return tuple(
        event.model_copy(update=dict.fromkeys(DIGESTS & type(event).model_fields.keys()))
        for event in events
    )


def misdirected(event: E) -> E:
    """The event with keys of another recording in it."""
    given = {name for name in KEYS & type(event).model_fields.keys() if getattr(event, name)}
    return event.model_copy(update={name: f"other/{name}" for name in given})
