"""The versioned JSON documents kept as blobs. Times are seconds since the recording's start."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field
from pydantic.dataclasses import dataclass

from events.base import Channel, Frozen, Seconds

Confidence = Annotated[
    float, Field(ge=0, le=1, description="0 to 1; the engine's own estimate that this was said.")
]
WorkDigest = Annotated[
    str, Field(description="SHA-256 over input, settings and engine; equal means same work.")
]
RecordingId = Annotated[UUID, Field(description="The recording (UUIDv7).")]
RunNumber = Annotated[int, Field(ge=1, description="Run of the recording, counted from 1.")]
Degraded = Annotated[
    tuple[str, ...],
    Field(description="Engines that stood in for better ones, as port:engine."),
]
Sentiment = Literal["positive", "neutral", "negative"]


class Document(Frozen):
    """A JSON document that names its own kind and version in `document`."""

    name: ClassVar[str]


class RunDocument(Document):
    """A document that one step of a run made."""

    recording: RecordingId
    run: RunNumber
    digest: WorkDigest


class Engine(Frozen):
    """The engine that really ran, identified so that results of two engines differ."""

    name: Annotated[str, Field(description="Engine, such as sphinx or whisper.")]
    revision: Annotated[str, Field(description="Version of the engine and its model.")]
    digest: Annotated[
        str, Field(description="Model digest: SHA-256 of the model's files, empty without a model.")
    ]

    def __str__(self) -> str:
        return f"{self.name} {self.revision}"


class EngineDocument(RunDocument):
    """A document that an engine made."""

    engine: Engine
    degraded: Degraded = ()


@dataclass(frozen=True, slots=True)  # a long call has many: models would take twice the memory
class Word:
    """One spoken word."""

    word: Annotated[str, Field(description="The word as the engine writes it.")]
    start_time: Seconds
    end_time: Seconds
    confidence: Confidence


class Segment(Frozen):
    """Words of one channel without a long pause between them."""

    start_time: Seconds
    end_time: Seconds
    text: Annotated[str, Field(description="The words as the engine writes them.")]
    confidence: Confidence
    words: Annotated[tuple[Word, ...], Field(description="In order of time.")] = ()
    mean_log_probability: Annotated[
        float | None,
        Field(description="Natural logarithm, mean over the engine's tokens; null: it has none."),
    ] = None
    no_speech_probability: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="Probability that the window holds no speech; null: the engine has none.",
        ),
    ] = None


class SpokenSegment(Segment):
    """A segment with its place in the conversation."""

    id: Annotated[str, Field(description="Id of the segment, unique within the run: s1, s2, …")]
    speaker: Annotated[Channel, Field(description="The channel that the segment was spoken on.")]
    overlaps: Annotated[
        tuple[str, ...], Field(description="Segments of the other speaker at the same time, by id.")
    ] = ()
    backchannel: Annotated[
        bool, Field(description="A short sign of attention, such as mm-hm, in the other's turn.")
    ] = False


class Language(Frozen):
    """The language of a channel."""

    code: Annotated[str, Field(description="ISO 639 code, such as en.")]
    probability: Annotated[
        float | None,
        Field(ge=0, le=1, description="The engine's own estimate; null: it was not in question."),
    ] = None


class ChannelLanguage(Language):
    """The language of one channel of the recording."""

    channel: Channel


class Echo(Frozen):
    """Words that were recognised on a channel but belong to the other party, and were removed."""

    channel: Annotated[Channel, Field(description="The channel that they were removed from.")]
    start_time: Seconds
    end_time: Seconds
    text: Annotated[str, Field(description="The words that were removed.")]


class Request(Document):
    """The client's wishes for the recording. Never in events: it may name people."""

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
    task: Annotated[
        Literal["transcribe", "translate"],
        Field(description="Write down what was said as it was said, or in English."),
    ] = "transcribe"


class AudioWarning(Frozen):
    """Something odd about the audio that did not stop the run."""

    code: Annotated[str, Field(description="A fixed word, such as truncated.")]
    message: Annotated[str, Field(description="What was found and what was done about it.")]


class Level(Frozen):
    """The loudness of a channel in dB relative to full scale; null for digital silence."""

    channel: Channel
    peak: Annotated[float | None, Field(le=0, description="Loudest sample, dBFS.")]
    rms: Annotated[float | None, Field(le=0, description="Root mean square, dBFS.")]


class ChannelQuality(Frozen):
    """The quality of a channel's sound."""

    channel: Channel
    silent: Annotated[bool, Field(description="Nothing on it is as loud as quiet speech.")]
    clipped: Annotated[float, Field(ge=0, le=1, description="Share of samples cut off at a limit.")]


class Bleed(Frozen):
    """A leak of one party's voice into the other's channel."""

    source: Annotated[Channel, Field(description="The channel of the party whose voice leaks.")]
    into: Annotated[Channel, Field(description="The channel it leaked into.")]
    delay: Annotated[float, Field(description="Seconds by which the leak comes later.")]
    gain: Annotated[float, Field(description="Level of the leak against its source, dB.")]
    correlation: Annotated[float, Field(ge=0, le=1, description="Likeness of the two, 0 to 1.")]


class Quality(Frozen):
    """Whether the channels are what they should be: one speaker each, heard well."""

    dual_mono: Annotated[bool, Field(description="Both channels carry the same sound.")]
    channels: Annotated[tuple[ChannelQuality, ...], Field(description="One per channel uploaded.")]
    bleed: Annotated[tuple[Bleed, ...], Field(description="Empty if the speakers are apart.")] = ()


class Levels(RunDocument):
    """Split's measurements of the audio."""

    name: ClassVar[str] = "levels"

    document: Literal["io.pocwhisp.document.levels.v1"] = "io.pocwhisp.document.levels.v1"
    container: Annotated[str, Field(description="Kind of file, such as wav or flac.")]
    encoding: Annotated[str, Field(description="Encoding of the samples, such as pcm_s16le.")]
    sample_rate: Annotated[int, Field(gt=0, description="Sample rate of the upload in Hz.")]
    channels: Annotated[int, Field(ge=1, description="Channels of the upload.")]
    duration: Annotated[float, Field(gt=0, description="Length of the audio in seconds.")]
    levels: Annotated[tuple[Level, ...], Field(description="One per channel of the run.")]
    warnings: Annotated[tuple[AudioWarning, ...], Field(description="Empty if all is well.")] = ()
    quality: Annotated[
        Quality | None, Field(description="Null in documents from before it was measured.")
    ] = None
    sha256: Annotated[
        dict[Channel, str],
        Field(description="Of each channel's samples; empty in documents of older releases."),
    ] = Field(default_factory=dict)


class ChannelTranscript(EngineDocument):
    """The transcript of one channel, in order of time."""

    name: ClassVar[str] = "channel-transcript"

    document: Literal["io.pocwhisp.document.channel-transcript.v1"] = (
        "io.pocwhisp.document.channel-transcript.v1"
    )
    channel: Annotated[Channel, Field(description="The channel that was transcribed.")]
    segments: Annotated[tuple[Segment, ...], Field(description="In order of time.")]
    language: Annotated[
        Language | None,
        Field(description="The language spoken; null: none, or not known."),
    ] = None


class Checkpoint(RunDocument):
    """A part of a channel's transcript while the rest is still being recognised.

    Checkpoints are numbered from 1; together they are what need not be recognised again. The
    document is still named passage, as it was first published.
    """

    name: ClassVar[str] = "passage"

    document: Literal["io.pocwhisp.document.passage.v1"] = "io.pocwhisp.document.passage.v1"
    channel: Annotated[Channel, Field(description="The channel that is being transcribed.")]
    until: Annotated[
        int,
        Field(
            ge=1,
            description="Hypotheses, from the channel's start, that the checkpoints cover.",
        ),
    ]
    segments: Annotated[tuple[Segment, ...], Field(description="Since the checkpoint before.")]
    language: Annotated[Language | None, Field(description="Null: not known yet.")] = None


class Transcript(EngineDocument):
    """The conversation: both channels' segments in spoken order."""

    name: ClassVar[str] = "transcript"

    document: Literal["io.pocwhisp.document.transcript.v1"] = "io.pocwhisp.document.transcript.v1"
    segments: Annotated[tuple[SpokenSegment, ...], Field(description="In spoken order.")]
    languages: Annotated[
        tuple[ChannelLanguage, ...], Field(description="Languages of the channels, where known.")
    ] = ()
    echoes: Annotated[
        tuple[Echo, ...], Field(description="Words that were removed as the other party's.")
    ] = ()


class SummaryContent(Frozen):
    """The content of a summary, as an engine makes it from a transcript."""

    text: Annotated[str, Field(description="The summary; empty only for an empty transcript.")]
    key_points: Annotated[tuple[str, ...], Field(description="The points of the call that matter.")]
    sentiment: Annotated[Sentiment, Field(description="The mood of the whole call.")]
    sentiment_score: Annotated[
        float, Field(ge=-1, le=1, description="-1 negative to 1 positive, the whole call.")
    ]


class Summary(SummaryContent, EngineDocument):
    """The transcript in short."""

    name: ClassVar[str] = "summary"

    document: Literal["io.pocwhisp.document.summary.v1"] = "io.pocwhisp.document.summary.v1"


DOCUMENTS: tuple[type[Document], ...] = (
    Request,
    Levels,
    ChannelTranscript,
    Checkpoint,
    Transcript,
    Summary,
)
