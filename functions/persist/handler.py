"""Write the record: stages as they are reached, and how the run ended."""

from datetime import datetime
from typing import TypeVar

from events import (
    ChannelTranscribed,
    DeliveryParked,
    RecordingCompleted,
    RecordingFailed,
    RecordingSplit,
    TranscriptMerged,
    TranscriptSummarized,
)
from events.documents import Document, Levels, Summary, Transcript
from functions.persist.record import RecordWriter
from shared.errors import Missing
from shared.function import function
from shared.ports import Blobs

D = TypeVar("D", bound=Document)
SUMMARIZE = "summarize"
NO_SUMMARIZER = "summarizer:none"
"""In `degraded`: no engine made a summary, although one was wanted."""


@function("persist")
async def persist(
    event: RecordingSplit
    | ChannelTranscribed
    | TranscriptMerged
    | TranscriptSummarized
    | DeliveryParked,
    *,
    record: RecordWriter,
    blobs: Blobs,
    at: datetime | None = None,
) -> RecordingCompleted | RecordingFailed | None:
    """Write the stage to the record; the last one completes the run, a parked delivery fails it.

    A summary never fails a run: if it was given up, the run is completed without one.

    A stage was reached `at` the time of its event, which may arrive late or out of order.
    """
    match event:
        case TranscriptSummarized():
            return await complete(event, record, blobs, at)
        case DeliveryParked():
            return await end_parked(event, record, blobs, at)
        case RecordingSplit():
            levels = await required_document(blobs, event.run_key.levels, Levels)
            await record.describe(event, levels, at)
        case ChannelTranscribed():
            await record.reach(event, "transcribe", at)
        case TranscriptMerged():
            await record.reach(event, "merge", at)
    return None


async def complete(
    event: TranscriptSummarized, record: RecordWriter, blobs: Blobs, at: datetime | None = None
) -> RecordingCompleted | None:
    """Write the result and announce it. Returns None if a newer result has replaced it."""
    key = event.run_key
    transcript = await required_document(blobs, key.transcript, Transcript)
    summary = await required_document(blobs, key.summary, Summary) if event.summary else None
    if not (has_digest(transcript, event.digest) and has_digest(summary, event.summary_digest)):
        return None  # the newer one's own event will bring us back
    if not await record.complete(event, transcript, summary, at):
        return None
    return RecordingCompleted.of(event, all_degraded(transcript, summary))


async def end_parked(
    event: DeliveryParked, record: RecordWriter, blobs: Blobs, at: datetime | None = None
) -> RecordingCompleted | RecordingFailed | None:
    """End the run of a delivery that was given up, with the transcript if there is one.

    Returns None if the run has ended otherwise.
    """
    transcript = await blobs.get_json(event.run_key.transcript, Transcript)
    if transcript is not None and event.function == SUMMARIZE:
        return await complete_without_summary(event, transcript, record, blobs, at)
    return await fail(event, record, transcript)


async def complete_without_summary(
    event: DeliveryParked,
    transcript: Transcript,
    record: RecordWriter,
    blobs: Blobs,
    at: datetime | None = None,
) -> RecordingCompleted | None:
    """Write the transcript as the whole result, and announce it.

    Returns None if the run has ended otherwise.
    """
    key = event.run_key
    levels = await required_document(blobs, key.levels, Levels)
    summarized = TranscriptSummarized(
        **event.same_run,
        transcript=key.transcript,
        digest=transcript.digest,
        summary=None,
        duration=levels.duration,
        segments=len(transcript.segments),
    )
    degraded = (*transcript.degraded, NO_SUMMARIZER)
    if not await record.complete_without_summary(summarized, transcript, degraded, at):
        return None
    return RecordingCompleted.of(summarized, degraded)


async def fail(
    event: DeliveryParked, record: RecordWriter, transcript: Transcript | None
) -> RecordingFailed | None:
    """Write the failure and announce it. Returns None if the run has ended otherwise."""
    if not await record.fail(event, transcript):
        return None
    return RecordingFailed(
        **event.same_run,
        function=event.function,
        error_class=event.error_class,
        error_code=event.error_code,
    )


async def required_document(blobs: Blobs, key: str, model: type[D]) -> D:
    """Return the document. Raises `Missing` if it does not exist."""
    document = await blobs.get_json(key, model)
    if document is None:
        raise Missing(key)
    return document


def has_digest(document: Transcript | Summary | None, digest: str | None) -> bool:
    """Return whether the document has the digest that its event gives; older events give none."""
    return document is None or digest is None or document.digest == digest


def all_degraded(transcript: Transcript, summary: Summary | None) -> tuple[str, ...]:
    """Return all engines that stood in for better ones."""
    return (*transcript.degraded, *(summary.degraded if summary else ()))
