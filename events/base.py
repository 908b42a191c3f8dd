"""The base of every event: its address, its identity and its frozen shape."""

from typing import Annotated, ClassVar, Literal, TypedDict
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field

from events.keys import RecordingKey, RunKey

Channel = Literal["left", "right"]
RunState = Literal["queued", "processing", "completed", "failed", "cancelled"]
TERMINAL_STATES: frozenset[RunState] = frozenset({"completed", "failed", "cancelled"})
Tenant = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$", description="Owner of the recording.")]
Seconds = Annotated[float, Field(ge=0, description="Seconds since the start of the recording.")]
ErrorClass = Literal["permanent", "exhausted"]
ErrorCode = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        description="A fixed word for the error, such as invalid_audio.",
    ),
]
FunctionName = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="The function that gave up.")
]
BlobKey = Annotated[str, Field(description="Key of a blob in the object store.")]
DocumentDigest = Annotated[
    str | None,
    Field(
        description="The work digest, field `digest`, of the document under the key; "
        "null in events of older releases."
    ),
]

FINGERPRINT_DIGITS = 8
"""Digits of a digest that are enough to tell two outputs of one step apart."""
TYPE_PREFIX = "io.pocwhisp."
"""What the type of every event begins with."""
EVENT_NAMESPACE = UUID("6f1c1d0e-6c3b-5f7a-9a53-0a3f0c8b7d11")


class Frozen(BaseModel):
    """A value: it cannot change, compares by content, and ignores fields of later versions."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RunFields(TypedDict):
    """The fields that name a run, typed so that mypy finds an event made without one of them."""

    tenant: str
    recording: UUID
    run: int


class Event(Frozen):
    """The data of one CloudEvent: references and small facts, never a spoken word.

    `type` is the whole CloudEvents type. It names what the event is about, not who sent it.
    """

    type: ClassVar[str]

    tenant: Tenant
    recording: Annotated[UUID, Field(description="The recording (UUIDv7).")]
    run: Annotated[int, Field(ge=1, description="Run of the recording, counted from 1.")]

    @property
    def event_id(self) -> str:
        """The CloudEvents id: computed, never random, so that a repeated step repeats it."""
        return computed_id(self.recording, self.run, self.type, self.part)

    @property
    def part(self) -> str:
        """The channel that the event is about; empty if a run has one event of the type."""
        return ""

    @property
    def fingerprint(self) -> str:
        """The first digits of the digest of the event's document; empty without one.

        It is part of the message id, so that the broker does not take the event of a document that
        replaced another for a duplicate.
        """
        return ""

    @property
    def same_run(self) -> RunFields:
        """The fields that name the run, for an event that follows: `Next(**event.same_run, …)`."""
        return {"tenant": self.tenant, "recording": self.recording, "run": self.run}

    @property
    def recording_key(self) -> RecordingKey:
        return RecordingKey(self.tenant, self.recording)

    @property
    def run_key(self) -> RunKey:
        return self.recording_key.run(self.run)

    @property
    def subject(self) -> str:
        """The NATS subject: `<type>.<tenant>.<recording>`."""
        return f"{self.type}.{self.tenant}.{self.recording}"


def computed_id(*parts: object) -> str:
    """Return the UUIDv5 of the parts (RFC 9562): equal parts give equal ids on every machine."""
    return str(uuid5(EVENT_NAMESPACE, "/".join(str(part) for part in parts)))
