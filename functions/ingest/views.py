"""The bodies of the API's answers. Times are seconds since the recording's start."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from events.base import TERMINAL_STATES, Channel, RunState
from events.documents import (
    AudioWarning,
    ChannelLanguage,
    Echo,
    Level,
    Quality,
    Sentiment,
    SpokenSegment,
)


class Stage(BaseModel):
    """A stage that the run has reached."""

    stage: str
    channel: Channel | None
    sequence: Annotated[int, Field(ge=1, description="Counts the stages of the recording.")]
    at: datetime
    seconds: Annotated[float, Field(description="Seconds since the upload ended.")]


class TranscriptView(BaseModel):
    """The conversation in spoken order."""

    segments: list[SpokenSegment]


class SummaryView(BaseModel):
    """The conversation in short."""

    text: str
    key_points: list[str]
    sentiment: Sentiment


class ModelVersions(BaseModel):
    """The engines that really ran; null where none did."""

    whisper: str | None = None
    llama: str | None = None
    recognizer: str | None = None
    summarizer: str | None = None


class RequestView(BaseModel):
    """The client's wishes for the recording, sent with the upload."""

    language: str | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    enable_summarization: bool = True
    channels: Annotated[
        dict[Channel, str], Field(description="Who speaks on a channel, such as left: agent.")
    ] = Field(default_factory=dict, validation_alias="roles")
    external_id: str | None = None
    started_at: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    prompt: str | None = None
    hotwords: list[str] = Field(default_factory=list)


class RecordingFacts(BaseModel):
    """A recording's properties; null where they are not known yet."""

    duration: Annotated[float | None, Field(description="Length of the recording in seconds.")]
    processing_time: Annotated[
        float | None, Field(description="Seconds from the upload's end to the result.")
    ]
    file_name: str | None
    run: int
    created_at: Annotated[datetime, Field(description="When the upload ended.")]


class RecordingSummary(BaseModel):
    """A recording in a list."""

    session_id: UUID
    status: RunState
    check_url: str
    metadata: RecordingFacts
    request: RequestView


class Pagination(BaseModel):
    """The place of a page in the whole list."""

    limit: int
    offset: int
    total: Annotated[int, Field(description="Recordings in all, not only on this page.")]
    next_cursor: Annotated[
        str | None, Field(description="Cursor of the next page; null if this is the last.")
    ] = None
    prev_cursor: Annotated[
        str | None, Field(description="Cursor of the page before; null if this is the first.")
    ] = None


class Page(BaseModel):
    """A page of recordings, newest first."""

    sessions: list[RecordingSummary]
    pagination: Pagination


class Metadata(RecordingFacts):
    """The properties of the recording and of its run."""

    channels: Annotated[int | None, Field(description="Channels of the upload.")]
    sample_rate: Annotated[int | None, Field(description="Sample rate of the upload in Hz.")]
    container: Annotated[str, Field(description="Kind of file, such as wav or flac.")]
    levels: Annotated[list[Level], Field(description="Loudness of each channel.")]
    quality: Annotated[
        Quality | None,
        Field(description="Whether the channels are what they should be; null: not measured."),
    ]
    languages: Annotated[
        list[ChannelLanguage], Field(description="Languages of the channels, where known.")
    ]
    echoes: Annotated[
        list[Echo], Field(description="Words that were removed as the other party's.")
    ]
    warnings: Annotated[
        list[AudioWarning], Field(description="Oddities of the audio; empty if none.")
    ]
    model_versions: ModelVersions
    degraded: Annotated[
        list[str], Field(description="Engines that stood in for better ones, as port:engine.")
    ]


class Failure(BaseModel):
    """The reason why a run failed."""

    error: Annotated[str, Field(description="A fixed word, such as invalid_audio.")]
    message: str
    function: Annotated[str, Field(description="The function that gave up.")]


class Session(BaseModel):
    """A recording and its result."""

    session_id: UUID
    status: RunState
    check_url: str
    progress: Annotated[list[Stage], Field(description="The stages reached so far, in order.")]
    transcript: TranscriptView | None = None
    summary: SummaryView | None = None
    metadata: Metadata
    request: RequestView
    error: Failure | None = None

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL_STATES


class Accepted(BaseModel):
    """A recording that is stored and will be processed."""

    session_id: UUID
    status: RunState
    check_url: str
    progress: list[Stage]


class Engines(BaseModel):
    """The engines of the run that ended last; null if they are not known."""

    recognizer: str | None = None
    summarizer: str | None = None


class Readiness(BaseModel):
    """Whether uploads can be stored, and which parts answer."""

    status: Literal["healthy", "degraded", "unhealthy"]
    checks: Annotated[dict[str, str], Field(description="ok or away, by part.")]
    reasons: Annotated[dict[str, str], Field(description="Why a part is away, by part.")] = Field(
        default_factory=dict
    )


class Health(Readiness):
    """Readiness, and the engines that ran last."""

    engines: Engines = Engines()


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    message: str
    code: int
    request_id: str
    timestamp: datetime
