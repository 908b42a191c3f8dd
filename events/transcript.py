"""Events about the transcript of a run."""

from typing import Annotated, ClassVar

from pydantic import Field

from events.base import BlobKey, Event
from events.recording import Duration


class TranscriptMerged(Event):
    """The channels' segments lie in the store as one transcript, in spoken order."""

    type: ClassVar[str] = "io.pocwhisp.transcript.merged.v1"

    transcript: BlobKey
    duration: Duration
    segments: Annotated[int, Field(ge=0, description="Number of segments in the transcript.")]


class TranscriptSummarized(Event):
    """The summary of the transcript lies in the store."""

    type: ClassVar[str] = "io.pocwhisp.transcript.summarized.v1"

    transcript: BlobKey
    summary: Annotated[
        str | None, Field(description="Key of the summary; null if none was wanted.")
    ]
    duration: Duration
    segments: Annotated[int, Field(ge=0, description="Number of segments in the transcript.")]
