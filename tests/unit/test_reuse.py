"""A later run of a recording takes over what the run before made of the same content."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from events import ChannelTranscribed, RecordingSplit, TranscriptMerged
from events.documents import (
    ChannelTranscript,
    Engine,
    Request,
    Summary,
    SummaryContent,
    Transcript,
)
from functions.merge.handler import merge
from functions.split.handler import split
from functions.summarize.handler import summarize
from functions.summarize.summarizer import SummaryResult
from functions.transcribe.handler import transcribe
from functions.transcribe.recognizer import FROM_START, Hypothesis, ResumePoint, Samples
from shared.audio.formats import Limits
from shared.blobs import ObjectBlobs
from tests.support.examples import BOTH, ENGINE, received, segment, stream, wav_file
from tests.support.handlers import REQUEST
from tests.support.sounds import FakeDecoder, tones
from tests.support.waiting import run

CALL = received()
FILE = wav_file(tones(440, 1_000, 8_000, 8_000))
OTHER = Engine(name="other", revision="1", digest="")


@dataclass
class CountingEngine:
    """A recogniser and summarizer that counts its work; `made_by` stands in for it if given."""

    engine: Engine = ENGINE
    made_by: Engine | None = None
    recognised: int = 0
    summarized: int = 0

    async def recognize(
        self, blocks: AsyncIterator[Samples], _: Request, resume: ResumePoint = FROM_START
    ) -> AsyncGenerator[Hypothesis, None]:
        del resume
        self.recognised += 1
        samples = sum([len(block) async for block in blocks])
        yield Hypothesis((segment(0, 1, f"{samples} samples"),))

    async def summarize(self, transcript: Transcript, _: Request) -> SummaryResult:
        self.summarized += 1
        content = SummaryContent(
            text=str(len(transcript.segments)),
            key_points=(),
            sentiment="neutral",
            sentiment_score=0,
        )
        return SummaryResult(content, self.made_by or self.engine)


async def stored(blobs: ObjectBlobs) -> ObjectBlobs:
    await blobs.put(CALL.recording_key.audio, stream([FILE]))
    await blobs.put_json(CALL.recording_key.request, Request())
    return blobs


async def process(blobs: ObjectBlobs, number: int, engine: CountingEngine) -> Summary:
    """Bring the recording's run from its upload to its summary."""
    begun = CALL.model_copy(update={"run": number})
    (done,) = await split(begun, blobs=blobs, limits=Limits(), decoder=FakeDecoder())
    assert isinstance(done, RecordingSplit)
    left, _ = await transcribe(done, blobs=blobs, recognizer=engine, serves=BOTH, degraded=())
    assert isinstance(left, ChannelTranscribed)
    (joined,) = await merge(left, blobs=blobs)
    assert isinstance(joined, TranscriptMerged)
    await summarize(joined, blobs=blobs, summarizer=engine)
    summary = await blobs.get_json(begun.run_key.summary, Summary)
    assert summary is not None
    return summary


def test_a_second_run_with_the_same_engine_recognises_and_summarizes_nothing_again(
    blobs: ObjectBlobs,
) -> None:
    async def work() -> None:
        engine = CountingEngine()
        await stored(blobs)
        first = await process(blobs, 1, engine)
        second = await process(blobs, 2, engine)
        assert (engine.recognised, engine.summarized) == (2, 1)
        assert second == first.model_copy(update={"run": 2})

    run(work())


def test_what_is_taken_over_carries_the_number_of_the_later_run(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await stored(blobs)
        for number in (1, 2, 3):
            await process(blobs, number, CountingEngine())
            key = CALL.recording_key.run(number)
            for channel in BOTH:
                made = await blobs.get_json(key.channel_transcript(channel), ChannelTranscript)
                assert made is not None
                assert (made.run, made.channel) == (number, channel)
            joined = await blobs.get_json(key.transcript, Transcript)
            assert joined is not None
            assert joined.run == number

    run(work())


def test_a_second_run_with_another_engine_does_all_of_it_again(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await stored(blobs)
        await process(blobs, 1, CountingEngine())
        other = CountingEngine(OTHER)
        summary = await process(blobs, 2, other)
        assert (other.recognised, other.summarized) == (2, 1)
        assert (summary.run, summary.engine) == (2, OTHER)

    run(work())


def test_a_second_run_after_another_request_does_all_of_it_again(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await stored(blobs)
        engine = CountingEngine()
        await process(blobs, 1, engine)
        await blobs.delete(CALL.recording_key.request)
        await blobs.put_json(CALL.recording_key.request, REQUEST)
        await process(blobs, 2, engine)
        assert (engine.recognised, engine.summarized) == (4, 2)

    run(work())


def test_a_summary_of_an_engine_that_stood_in_is_not_taken_over(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await stored(blobs)
        await process(blobs, 1, CountingEngine(made_by=OTHER))
        well = CountingEngine()
        summary = await process(blobs, 2, well)
        assert (well.summarized, summary.engine) == (1, ENGINE)

    run(work())


def test_only_a_later_run_has_one_before_it() -> None:
    assert CALL.recording_key.run(1).previous is None
    assert CALL.recording_key.run(3).previous == CALL.recording_key.run(2)
