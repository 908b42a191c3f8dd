"""The catalogue: one frozen model per CloudEvent, in the order of the pipeline."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Self

from pydantic import Field

from events.base import (
    FINGERPRINT_DIGITS,
    BlobKey,
    Channel,
    DocumentDigest,
    ErrorClass,
    ErrorCode,
    Event,
    FunctionName,
    computed_id,
)
from events.keys import RecordingKey

Duration = Annotated[float, Field(gt=0, description="Length of the recording in seconds.")]
Channels = Annotated[
    tuple[Channel, ...],
    Field(
        min_length=1,
        max_length=2,
        description="The channels that will be transcribed; a join waits for exactly these.",
    ),
]


class RecordingReceived(Event):
    """A recording was stored and promised to its client."""

    type: ClassVar[str] = "io.pocwhisp.recording.received.v1"

    audio: Annotated[
        str, Field(description="Key of the uploaded file; of two files, the left speaker's.")
    ]
    audio_right: Annotated[
        str | None,
        Field(description="Key of the right speaker's file; null if there is one file."),
    ] = None
    request: BlobKey
    duration: Annotated[
        float | None,
        Field(gt=0, description="Length in seconds; null if only decoding can tell."),
    ]
    sha256: Annotated[
        str | None,
        Field(
            description="SHA-256 of the upload; of two files', of both digests in a row. Null in "
            "events of older releases."
        ),
    ] = None

    @classmethod
    def of(
        cls, key: RecordingKey, run: int, *, files: int, duration: float | None, sha256: str
    ) -> Self:
        """Return the event of a recording that came in `files` files and lies under `key`."""
        return cls(
            tenant=key.tenant,
            recording=key.recording,
            run=run,
            audio=key.audio,
            audio_right=key.audio_right if files > 1 else None,
            request=key.request,
            duration=duration,
            sha256=sha256,
        )


class RecordingSplit(Event):
    """Each channel lies in the store as 16 kHz mono 16-bit PCM."""

    type: ClassVar[str] = "io.pocwhisp.recording.split.v1"

    channels: Channels
    duration: Duration
    levels: BlobKey


class ChannelTranscribed(Event):
    """One channel's words are in the store. A silent channel has this event as any other."""

    type: ClassVar[str] = "io.pocwhisp.channel.transcribed.v1"

    channel: Annotated[Channel, Field(description="The channel this event is about.")]
    channels: Channels
    duration: Duration
    transcript: BlobKey
    digest: DocumentDigest = None

    @property
    def part(self) -> str:
        return self.channel

    @property
    def fingerprint(self) -> str:
        return (self.digest or "")[:FINGERPRINT_DIGITS]


class TranscriptMerged(Event):
    """The channels' segments lie in the store as one transcript, in spoken order."""

    type: ClassVar[str] = "io.pocwhisp.transcript.merged.v1"

    transcript: BlobKey
    digest: DocumentDigest = None
    duration: Duration
    segments: Annotated[int, Field(ge=0, description="Number of segments in the transcript.")]

    @property
    def fingerprint(self) -> str:
        return (self.digest or "")[:FINGERPRINT_DIGITS]


class TranscriptSummarized(Event):
    """The summary of the transcript lies in the store."""

    type: ClassVar[str] = "io.pocwhisp.transcript.summarized.v1"

    transcript: BlobKey
    digest: DocumentDigest = None
    summary: Annotated[
        str | None, Field(description="Key of the summary; null if none was wanted.")
    ]
    summary_digest: DocumentDigest = None
    duration: Duration
    segments: Annotated[int, Field(ge=0, description="Number of segments in the transcript.")]

    @property
    def fingerprint(self) -> str:
        return (self.summary_digest or self.digest or "")[:FINGERPRINT_DIGITS]


class RecordingCompleted(Event):
    """The run is completed; transcript and summary are on record."""

    type: ClassVar[str] = "io.pocwhisp.recording.completed.v1"

    transcript: BlobKey
    summary: Annotated[
        str | None,
        Field(description="Key of the summary; null if none was wanted, or none could be made."),
    ]
    request: BlobKey
    duration: Duration
    segments: Annotated[int, Field(ge=0, description="Number of segments in the transcript.")]
    degraded: Annotated[
        tuple[str, ...], Field(description="Engines that stood in for better ones, empty if none.")
    ] = ()

    @classmethod
    def of(cls, summarized: TranscriptSummarized, degraded: Sequence[str]) -> Self:
        """Return the event that announces the end of a run whose last stage was `summarized`."""
        key = summarized.run_key
        return cls(
            **summarized.same_run,
            transcript=key.transcript,
            summary=key.summary if summarized.summary else None,
            request=summarized.recording_key.request,
            duration=summarized.duration,
            segments=summarized.segments,
            degraded=tuple(degraded),
        )


class RecordingFailed(Event):
    """The run has failed; what it had computed is still served."""

    type: ClassVar[str] = "io.pocwhisp.recording.failed.v1"

    function: FunctionName
    error_class: Annotated[ErrorClass, Field(description="Given up at once, or after its retries.")]
    error_code: ErrorCode


class DeliveryParked(Event):
    """A function gave an event up, at once (`permanent`) or after its retries (`exhausted`)."""

    type: ClassVar[str] = "io.pocwhisp.delivery.parked.v1"

    function: FunctionName
    original_id: Annotated[str, Field(description="Id of the event that was given up.")]
    original_type: Annotated[str, Field(description="Type of the event that was given up.")]
    series: Annotated[
        int,
        Field(ge=1, description="Series of attempts, counted from 1; a re-drive begins a new one."),
    ] = 1
    attempts: Annotated[
        int, Field(ge=1, description="Deliveries in this series, as far as known.")
    ] = 1
    error_class: Annotated[ErrorClass, Field(description="Why no further attempt is made.")]
    error_code: ErrorCode

    @property
    def event_id(self) -> str:
        return computed_id(self.original_id, self.function, self.series)


EVENTS: dict[str, type[Event]] = {
    model.type: model
    for model in (
        RecordingReceived,
        RecordingSplit,
        ChannelTranscribed,
        TranscriptMerged,
        TranscriptSummarized,
        RecordingCompleted,
        RecordingFailed,
        DeliveryParked,
    )
}
"""The models by their type."""
