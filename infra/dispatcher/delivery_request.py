"""An event as an HTTP request, in the form eventing-natss gives it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from cloudevents.conversion import to_binary
from cloudevents.http import CloudEvent, from_json

from shared.cloudevent import IncomingEvent

ATTRIBUTE_NAME = re.compile(r"[a-z0-9]{1,64}")
UNENCODED = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
"""Characters that stay as they are in a header (CloudEvents HTTP binding, section 3.1.3.2)."""


@dataclass(frozen=True, slots=True)
class DeliveryRequest:
    """An event ready to be posted in binary mode (CloudEvents HTTP binding, section 3.1)."""

    received: IncomingEvent
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def from_structured(cls, payload: bytes) -> "DeliveryRequest":
        """Read an event in structured mode. Raises any `Exception` if it is none."""
        return cls.from_event(from_json(payload))

    @classmethod
    def from_event(cls, event: CloudEvent) -> "DeliveryRequest":
        attributes, body = to_binary(event)
        headers = {"content-type": "application/json", "prefer": "reply"}
        for name, text in attributes.items():
            if not ATTRIBUTE_NAME.fullmatch(name.removeprefix("ce-").replace("-", "")):
                raise ValueError(f"Not the name of an attribute: {name!r}.")
            headers[name] = quote(str(text), safe=UNENCODED)
        return cls(
            IncomingEvent(dict(event.get_attributes()), event.get_data()), headers, body or b""
        )

    @property
    def audio_seconds(self) -> float:
        """Length of the recording in seconds, 0 if the event does not give it."""
        facts = self.received.data
        duration = facts.get("duration") if isinstance(facts, dict) else None
        return float(duration) if isinstance(duration, int | float) else 0.0
