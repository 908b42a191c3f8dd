"""The bodies the API answers with. Times in seconds since the recording's start."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from events.base import Channel
from events.documents import Sentiment, SpokenSegment

State = Literal["queued", "processing", "completed", "failed", "cancelled"]
TERMINAL: frozenset[State] = frozenset({"completed", "failed", "cancelled"})


class Stage(BaseModel):
    """One stage the run has reached."""

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
    """What really ran; null where nothing of the kind did."""

    whisper: str | None = None
    llama: str | None = None
    recognizer: str | None = None
    summarizer: str | None = None


class Metadata(BaseModel):
    """Facts about the recording and its run."""

    duration: Annotated[float, Field(description="Length of the recording in seconds.")]
    processing_time: Annotated[
        float | None, Field(description="Seconds from the upload's end to the result.")
    ]
    channels: int
    sample_rate: Annotated[int, Field(description="Of the upload, in Hz.")]
    model_versions: ModelVersions
    degraded: Annotated[
        list[str], Field(description="Engines that stood in for better ones, as port:engine.")
    ]
    file_name: str | None
    run: int
    created_at: datetime


class Failure(BaseModel):
    """Why a run failed."""

    error: Annotated[str, Field(description="A fixed word, such as invalid_audio.")]
    message: str
    function: Annotated[str, Field(description="The function that gave up.")]


class Session(BaseModel):
    """A recording and what became of it."""

    session_id: UUID
    status: State
    check_url: str
    progress: Annotated[list[Stage], Field(description="The stages reached so far, in order.")]
    transcript: TranscriptView | None = None
    summary: SummaryView | None = None
    metadata: Metadata
    error: Failure | None = None

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL


class Accepted(BaseModel):
    """The recording is kept and will be processed."""

    session_id: UUID
    status: State
    check_url: str
    progress: list[Stage]


class Health(BaseModel):
    """Which parts answer."""

    status: Literal["healthy", "degraded", "unhealthy"]
    checks: dict[str, str]


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
