"""The handler of summarize on small fakes."""

import asyncio
from dataclasses import dataclass, field

import pytest

from events import Event, TranscriptSummarized
from events.documents import Engine, Request, Summary, SummaryContent, Transcript
from functions.summarize.fallback import FallbackSummarizer
from functions.summarize.handler import summarize
from functions.summarize.summarizer import Summarizer, SummaryResult
from shared.blobs import ObjectBlobs
from shared.errors import Missing, Transient, Unavailable
from tests.support.examples import (
    ENGINE,
    merged,
    summarized,
    transcript,
)
from tests.support.handlers import KEY, REQUEST, misdirected, undigested
from tests.support.waiting import run


@dataclass
class CountingSummarizer:
    """Tells how many segments there were."""

    engine: Engine = ENGINE
    requests: list[Request] = field(default_factory=list)

    async def summarize(self, transcript: Transcript, request: Request) -> SummaryResult:
        self.requests.append(request)
        text = f"{len(transcript.segments)} segments"
        content = SummaryContent(
            text=text, key_points=("one",), sentiment="positive", sentiment_score=0.5
        )
        return SummaryResult(content, self.engine, ("summarizer:test",))


@dataclass
class FailingSummarizer:
    """Raises the error, every time; counts the attempts."""

    error: Exception
    engine: Engine = ENGINE
    attempts: int = 0

    async def summarize(self, transcript: Transcript, request: Request) -> SummaryResult:
        del transcript, request
        self.attempts += 1
        raise self.error


async def summarize_in(blobs: ObjectBlobs, summarizer: Summarizer) -> tuple[Event, ...]:
    return await summarize(merged(), blobs=blobs, summarizer=summarizer)


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
        (event,) = await summarize(older, blobs=blobs, summarizer=CountingSummarizer())
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


SUBSTITUTE = Engine(name="substitute", revision="1", digest="")


@pytest.mark.parametrize("error", [Transient("no"), RuntimeError("no"), MemoryError()])
def test_a_substitute_stands_in_for_an_engine_that_keeps_failing(error: Exception) -> None:
    failing = FailingSummarizer(error)
    summarizer = FallbackSummarizer(failing, CountingSummarizer(SUBSTITUTE), attempts=3)
    result = asyncio.run(summarizer.summarize(transcript(), REQUEST))
    assert failing.attempts == 3
    assert (result.engine, result.degraded) == (SUBSTITUTE, ("summarizer:substitute",))


def test_what_the_preferred_engine_makes_is_not_degraded() -> None:
    preferred, substitute = CountingSummarizer(), CountingSummarizer(SUBSTITUTE)
    result = asyncio.run(FallbackSummarizer(preferred, substitute).summarize(transcript(), REQUEST))
    assert result == asyncio.run(CountingSummarizer().summarize(transcript(), REQUEST))
    assert substitute.requests == []


def test_an_outage_is_waited_out_and_no_reason_to_stand_in() -> None:
    failing = FailingSummarizer(Unavailable("away"))
    summarizer = FallbackSummarizer(failing, CountingSummarizer(SUBSTITUTE))
    with pytest.raises(Unavailable):
        asyncio.run(summarizer.summarize(transcript(), REQUEST))
    assert failing.attempts == 1


def test_without_a_preferred_engine_the_substitute_says_that_it_stands_in() -> None:
    summarizer = FallbackSummarizer(None, CountingSummarizer(SUBSTITUTE))
    result = asyncio.run(summarizer.summarize(transcript(), REQUEST))
    assert (summarizer.engine, result.degraded) == (SUBSTITUTE, ("summarizer:substitute",))


def test_a_summary_of_a_substitute_is_kept_and_not_made_again(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.transcript, transcript())
        failing = FailingSummarizer(Transient("no"))
        summarizer = FallbackSummarizer(failing, CountingSummarizer(SUBSTITUTE), attempts=1)
        await summarize_in(blobs, summarizer)
        await summarize_in(blobs, summarizer)
        assert failing.attempts == 1

    run(work())


def test_a_foreign_key_in_the_event_is_not_read(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.transcript, transcript())
        event = misdirected(merged())
        done = await summarize(event, blobs=blobs, summarizer=CountingSummarizer())
        assert undigested(done) == (summarized(),)

    run(work())
