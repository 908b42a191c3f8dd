"""The CloudEvents 1.0 envelope around an event's data."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from events.base import Event

STRUCTURED = "application/cloudevents+json"
"""Content type of an event in structured mode."""

E_co = TypeVar("E_co", bound=Event, covariant=True)


@dataclass(frozen=True, slots=True)
class Envelope(Generic[E_co]):
    """An event with its CloudEvents attributes.

    `redrive` counts how often the sweep had to send this run's events again. It travels from
    an event to those it causes, because JetStream silently drops a message id that it has seen.
    """

    data: E_co
    source: str
    time: datetime
    causationid: str | None = None
    traceparent: str | None = None
    redrive: int = 0

    @property
    def id(self) -> str:
        return self.data.event_id

    @property
    def message_id(self) -> str:
        """The `Nats-Msg-Id`: `<id>`, `<id>.<fingerprint>`, each with `.<n>` at the n-th re-drive.

        Events about a document have its fingerprint.
        """
        parts = (self.id, self.data.fingerprint, str(self.redrive) if self.redrive else "")
        return ".".join(part for part in parts if part)

    @property
    def attributes(self) -> dict[str, str]:
        """CloudEvents attributes and extensions, as strings, absent ones left out."""
        attributes: dict[str, str | None] = {
            "specversion": "1.0",
            "id": self.id,
            "type": self.data.type,
            "source": self.source,
            "subject": str(self.data.recording),
            "time": self.time.isoformat(),
            "dataschema": f"urn:pocwhisp:schema:{self.data.type}",
            "datacontenttype": "application/json",
            "tenant": self.data.tenant,
            "correlationid": f"{self.data.recording}/{self.data.run}",
            "causationid": self.causationid,
            "traceparent": self.traceparent,
            "redrive": str(self.redrive) if self.redrive else None,
        }
        return {name: text for name, text in attributes.items() if text is not None}

    def structured(self) -> dict[str, Any]:
        """Return the event as one JSON object (CloudEvents JSON format, structured mode)."""
        return {**self.attributes, "data": self.data.model_dump(mode="json")}
