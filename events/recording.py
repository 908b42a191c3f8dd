"""Events about a recording: it came, it was split, it is done."""

from typing import Annotated, ClassVar

from pydantic import Field

from events.base import BlobKey, Channel, ErrorClass, ErrorCode, Event, FunctionName

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
        str, Field(description="Key of the upload: a file of both speakers, of one, or the left's.")
    ]
    audio_right: Annotated[
        str | None, Field(description="Key of the right speaker's file, if each came in one.")
    ] = None
    request: BlobKey
    duration: Annotated[
        float | None,
        Field(gt=0, description="Length in seconds; null if only decoding can tell."),
    ]


class RecordingSplit(Event):
    """Each channel lies in the store as 16 kHz mono 16-bit PCM."""

    type: ClassVar[str] = "io.pocwhisp.recording.split.v1"

    channels: Channels
    duration: Duration
    levels: BlobKey


class RecordingCompleted(Event):
    """The run ended well; transcript and summary are on record."""

    type: ClassVar[str] = "io.pocwhisp.recording.completed.v1"

    transcript: BlobKey
    summary: Annotated[
        str | None, Field(description="Key of the summary; null if none was wanted.")
    ]
    request: BlobKey
    duration: Duration
    segments: Annotated[int, Field(ge=0, description="Number of segments in the transcript.")]
    degraded: Annotated[
        tuple[str, ...], Field(description="Engines that stood in for better ones, empty if none.")
    ] = ()


class RecordingFailed(Event):
    """The run ended badly; what it had computed is still served."""

    type: ClassVar[str] = "io.pocwhisp.recording.failed.v1"

    function: FunctionName
    error_class: Annotated[ErrorClass, Field(description="Given up at once, or after retries.")]
    error_code: ErrorCode
