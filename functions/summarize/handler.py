"""Summarise a transcript."""

from events import TranscriptMerged, TranscriptSummarized
from events.documents import Request, Summary, Transcript
from functions.summarize.summarizer import Summarizer, SummaryResult
from shared.digest import work_digest
from shared.errors import Missing
from shared.function import function
from shared.ports import Blobs
from shared.reuse import Work, made_before


@function("summarize")
async def summarize(
    merged: TranscriptMerged, *, blobs: Blobs, summarizer: Summarizer
) -> TranscriptSummarized:
    """Write the summary, unless none is wanted or the very same one is already there."""
    request = await blobs.get_json(merged.recording_key.request, Request) or Request()
    key = merged.run_key
    transcript = await blobs.get_json(key.transcript, Transcript)
    if transcript is None:
        raise Missing(key.transcript)
    if not request.enable_summarization:
        return summarized(merged, transcript)
    digest = work_digest(transcript.digest, request, summarizer.engine)
    work = Work(key, lambda run: run.summary, digest, summarizer.engine)
    if not await made_before(blobs, work, Summary):
        result = await summarizer.summarize(transcript, request)
        await blobs.put_json(key.summary, summary_of(transcript, result, digest))
    return summarized(merged, transcript, key.summary, digest)


def summarized(
    merged: TranscriptMerged,
    transcript: Transcript,
    summary: str | None = None,
    summary_digest: str | None = None,
) -> TranscriptSummarized:
    """Return the event that follows, about the transcript that was read, maybe a newer one."""
    return TranscriptSummarized(
        **merged.same_run,
        duration=merged.duration,
        segments=len(transcript.segments),
        transcript=merged.run_key.transcript,
        digest=transcript.digest,
        summary=summary,
        summary_digest=summary_digest,
    )


def summary_of(transcript: Transcript, result: SummaryResult, digest: str) -> Summary:
    """Return the document of a summary, with the engine that made it."""
    return Summary(
        **result.content.model_dump(),
        recording=transcript.recording,
        run=transcript.run,
        digest=digest,
        engine=result.engine,
        degraded=result.degraded,
    )
