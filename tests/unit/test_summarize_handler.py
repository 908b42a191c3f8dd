"""The handler of summarize on small fakes."""

import asyncio
from dataclasses import dataclass, field

import pytest

from events import (
    Event,
    TranscriptSummarized,
)
from events.documents import (
    Engine,
    Request,
    Summary,
    Transcript,
)
from functions.summarize.handler import summarize
from functions.summarize.summarizer import Gist
from shared.blobs import ObjectBlobs
from shared.errors import Missing
from tests.support.examples import (
    ENGINE,
    merged,
    summarized,
    transcript,
)
from tests.support.handlers import KEY, REQUEST, run, undigested


@dataclass
class CountingSummarizer:
    """Tells how many segments there were."""

    engine: Engine = ENGINE
    requests: list[Request] = field(default_factory=list)

    async def summarize(self, transcript: Transcript, request: Request) -> Gist:
        self.requests.append(request)
        return Gist(f"{len(transcript.segments)} segments", ("one",), "positive", 0.5)


async def summarize_in(blobs: ObjectBlobs, summarizer: CountingSummarizer) -> tuple[Event, ...]:
    return await summarize(
        merged(), blobs=blobs, summarizer=summarizer, degraded=("summarizer:test",)
    )


def test_a_summary_is_written_with_what_made_it(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.transcript, transcript())
        await blobs.put_json(merged().recording_key.request, REQUEST)
        summarizer = CountingSummarizer()
        assert undigested(await summarize_in(blobs, summarizer)) == (summarized(),)
        kept = await blobs.get_json(KEY.summary, Summary)
        assert kept is not None
        assert (kept.text, kept.key_points, kept.sentiment) == ("2 segments", ("one",), "positive")
        assert (kept.sentiment_score, kept.engine) == (0.5, ENGINE)
        assert kept.degraded == ("summarizer:test",)
        assert summarizer.requests == [REQUEST]

    run(work())


def test_what_was_summarized_is_not_summarized_again(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.transcript, transcript())
        summarizer = CountingSummarizer()
        first = await summarize_in(blobs, summarizer)
        assert await summarize_in(blobs, summarizer) == first
        assert len(summarizer.requests) == 1

    run(work())


def test_another_transcript_or_engine_is_summarized_again(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.transcript, transcript())
        summarizer = CountingSummarizer()
        await summarize_in(blobs, summarizer)
        other = transcript("s1", "s2", "s3").model_copy(update={"digest": "other"})
        await blobs.put_json(KEY.transcript, other)
        await summarize_in(blobs, summarizer)
        kept = await blobs.get_json(KEY.summary, Summary)
        assert kept is not None
        assert kept.text == "3 segments"
        newer = CountingSummarizer(ENGINE.model_copy(update={"revision": "2"}))
        await summarize_in(blobs, newer)
        assert (len(summarizer.requests), len(newer.requests)) == (2, 1)

    run(work())


@pytest.mark.parametrize("wanted", [True, False])
def test_the_event_tells_of_the_transcript_that_was_read_and_not_of_an_older_one(
    blobs: ObjectBlobs, *, wanted: bool
) -> None:
    async def work() -> None:
        await blobs.put_json(merged().recording_key.request, Request(enable_summarization=wanted))
        newer = transcript("s1", "s2", "s3").model_copy(update={"digest": "newer"})
        await blobs.put_json(KEY.transcript, newer)
        older = merged().model_copy(update={"digest": "older"})
        (event,) = await summarize(older, blobs=blobs, summarizer=CountingSummarizer(), degraded=())
        assert isinstance(event, TranscriptSummarized)
        assert (event.digest, event.segments) == ("newer", 3)
        kept = await blobs.get_json(KEY.summary, Summary)
        assert event.summary_digest == (kept.digest if kept else None)

    run(work())


def test_a_summary_that_nobody_wants_is_not_made(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        unwanted = REQUEST.model_copy(update={"enable_summarization": False})
        await blobs.put_json(KEY.transcript, transcript())
        await blobs.put_json(merged().recording_key.request, unwanted)
        summarizer = CountingSummarizer()
        [event] = await summarize_in(blobs, summarizer)
        assert undigested([event]) == (summarized().model_copy(update={"summary": None}),)
        assert summarizer.requests == []
        assert await blobs.size(KEY.summary) is None

    run(work())


def test_without_a_transcript_there_is_nothing_to_summarize(blobs: ObjectBlobs) -> None:
    with pytest.raises(Missing):
        asyncio.run(summarize_in(blobs, CountingSummarizer()))
