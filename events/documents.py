"""The versioned JSON documents kept as blobs. Times are seconds since the recording's start."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from events.base import Channel, Frozen, Seconds

Confidence = Annotated[
    float, Field(ge=0, le=1, description="0 to 1; the engine's own estimate that this was said.")
]
Digest = Annotated[
    str, Field(description="SHA-256 over input, settings and engine; equal means same work.")
]
Recording = Annotated[UUID, Field(description="The recording (UUIDv7).")]
Run = Annotated[int, Field(ge=1, description="Run of the recording, counted from 1.")]
Degraded = Annotated[
    tuple[str, ...],
    Field(description="Engines that stood in for better ones, as port:engine."),
]
Sentiment = Literal["positive", "neutral", "negative"]


class Document(Frozen):
    """A document names its own kind and version in `document`."""

    name: ClassVar[str]


class Engine(Frozen):
    """What really ran: enough to tell two results apart."""

    name: Annotated[str, Field(description="Engine, such as sphinx or whisper.")]
    revision: Annotated[str, Field(description="Version of the engine and its model.")]
    digest: Annotated[
        str, Field(description="SHA-256 of the model's files, empty without a model.")
    ]

    def __str__(self) -> str:
        return f"{self.name} {self.revision}"


class Word(Frozen):
    """One spoken word."""

    word: Annotated[str, Field(description="The word as the engine writes it.")]
    start_time: Seconds
    end_time: Seconds
    confidence: Confidence


class Segment(Frozen):
    """One utterance of one channel: words without a long pause between them."""

    start_time: Seconds
    end_time: Seconds
    text: Annotated[str, Field(description="What was said, as the engine writes it.")]
    confidence: Confidence
    words: Annotated[tuple[Word, ...], Field(description="In order of time.")] = ()


class SpokenSegment(Segment):
    """A segment with its place in the conversation."""

    id: Annotated[str, Field(description="Unique within the run: s1, s2, …")]
    speaker: Annotated[Channel, Field(description="The channel the segment was heard on.")]


class Request(Document):
    """What the client asked for with the upload. Never in events: it may name people."""

    name: ClassVar[str] = "request"

    document: Literal["io.pocwhisp.document.request.v1"] = "io.pocwhisp.document.request.v1"
    language: Annotated[str | None, Field(description="BCP 47 tag; null: the engine decides.")] = (
        None
    )
    enable_summarization: Annotated[bool, Field(description="Whether a summary is wanted.")] = True
    external_id: Annotated[str | None, Field(description="The client's own name for the call.")] = (
        None
    )
    started_at: Annotated[datetime | None, Field(description="When the call began.")] = None
    prompt: Annotated[str | None, Field(description="Text that precedes the call.")] = None
    hotwords: Annotated[tuple[str, ...], Field(description="Words likely to occur.")] = ()
    roles: Annotated[
        dict[Channel, str], Field(description="Who speaks on a channel, such as left: agent.")
    ] = Field(default_factory=dict)
    labels: Annotated[dict[str, str], Field(description="The client's own marks.")] = Field(
        default_factory=dict
    )


class AudioWarning(Frozen):
    """Something odd about the audio that did not stop the run."""

    code: Annotated[str, Field(description="A fixed word, such as truncated.")]
    message: Annotated[str, Field(description="What was found and what was done about it.")]


class Level(Frozen):
    """How loud a channel is, in dB relative to full scale; null for digital silence."""

    channel: Channel
    peak: Annotated[float | None, Field(le=0, description="Loudest sample, dBFS.")]
    rms: Annotated[float | None, Field(le=0, description="Root mean square, dBFS.")]


class Levels(Document):
    """What split found out about the audio."""

    name: ClassVar[str] = "levels"

    document: Literal["io.pocwhisp.document.levels.v1"] = "io.pocwhisp.document.levels.v1"
    recording: Recording
    run: Run
    digest: Digest
    container: Annotated[str, Field(description="Kind of file, such as wav or flac.")]
    encoding: Annotated[str, Field(description="How samples were stored, such as pcm_s16le.")]
    sample_rate: Annotated[int, Field(gt=0, description="Of the upload, in Hz.")]
    channels: Annotated[int, Field(ge=1, description="Channels of the upload.")]
    duration: Annotated[float, Field(gt=0, description="Seconds of audio that are there.")]
    levels: Annotated[tuple[Level, ...], Field(description="One per channel of the run.")]
    warnings: Annotated[tuple[AudioWarning, ...], Field(description="Empty if all is well.")] = ()


class ChannelTranscript(Document):
    """What was said on one channel, in order of time."""

    name: ClassVar[str] = "channel-transcript"

    document: Literal["io.pocwhisp.document.channel-transcript.v1"] = (
        "io.pocwhisp.document.channel-transcript.v1"
    )
    recording: Recording
    run: Run
    channel: Annotated[Channel, Field(description="The channel that was transcribed.")]
    digest: Digest
    engine: Engine
    degraded: Degraded = ()
    segments: Annotated[tuple[Segment, ...], Field(description="In order of time.")]


class Transcript(Document):
    """The conversation: both channels' segments in spoken order."""

    name: ClassVar[str] = "transcript"

    document: Literal["io.pocwhisp.document.transcript.v1"] = "io.pocwhisp.document.transcript.v1"
    recording: Recording
    run: Run
    digest: Digest
    engine: Engine
    degraded: Degraded = ()
    segments: Annotated[tuple[SpokenSegment, ...], Field(description="In spoken order.")]


class Summary(Document):
    """The transcript in short."""

    name: ClassVar[str] = "summary"

    document: Literal["io.pocwhisp.document.summary.v1"] = "io.pocwhisp.document.summary.v1"
    recording: Recording
    run: Run
    digest: Digest
    engine: Engine
    degraded: Degraded = ()
    text: Annotated[str, Field(description="The summary; empty only for an empty transcript.")]
    key_points: Annotated[tuple[str, ...], Field(description="What was said that matters.")]
    sentiment: Annotated[Sentiment, Field(description="The mood of the whole call.")]
    sentiment_score: Annotated[
        float, Field(ge=-1, le=1, description="-1 negative to 1 positive, the whole call.")
    ]


DOCUMENTS: tuple[type[Document], ...] = (Request, Levels, ChannelTranscript, Transcript, Summary)
