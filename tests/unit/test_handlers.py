"""The handlers of merge, transcribe, summarize and persist on small fakes."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from events import (
    DeliveryParked,
    Event,
    RecordingCompleted,
    RecordingFailed,
    RecordingSplit,
    TranscriptMerged,
    TranscriptSummarized,
)
from events.base import Channel
from events.documents import (
    ChannelTranscript,
    Engine,
    Levels,
    Request,
    Segment,
    Summary,
    Transcript,
)
from events.keys import RecordingKey
from functions.merge.handler import merge
from functions.persist.handler import persist
from functions.summarize.handler import summarize
from functions.summarize.summarizer import Gist
from functions.transcribe.handler import transcribe
from functions.transcribe.recognizer import Samples
from shared.blobs import ObjectBlobs
from shared.errors import Missing, Permanent
from shared.wav import pcm16_header
from tests.examples import (
    ENGINE,
    RECORDING,
    cut,
    heard,
    levels,
    merged,
    parked,
    segment,
    stream,
    summarized,
    summary,
    transcribed,
    transcript,
    was_split,
)

KEY = merged().run_key
REQUEST = Request(prompt="about a refund")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@pytest.fixture
def blobs() -> ObjectBlobs:
    return ObjectBlobs(MemoryStore())


# --- merge


@pytest.mark.parametrize("order", [("left", "right"), ("right", "left")])
def test_merge_waits_for_both_channels_in_either_order(
    blobs: ObjectBlobs, order: tuple[Channel, Channel]
) -> None:
    async def work() -> None:
        first, second = order
        await blobs.put_json(KEY.channel_transcript(first), heard(first, segment(1, 2)))
        assert await merge(transcribed(first), blobs=blobs) == ()
        await blobs.put_json(KEY.channel_transcript(second), heard(second, segment(3, 4)))
        assert await merge(transcribed(second), blobs=blobs) == (merged(),)
        kept = await blobs.get_json(KEY.transcript, Transcript)
        assert kept is not None
        assert [(turn.id, turn.speaker) for turn in kept.segments] == [
            ("s1", first),
            ("s2", second),
        ]

    run(work())


def test_merge_waits_only_for_the_channels_that_the_event_names(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.channel_transcript("left"), heard("left"))
        (event,) = await merge(transcribed("left", channels=("left",)), blobs=blobs)
        assert isinstance(event, TranscriptMerged)
        assert event.segments == 0

    run(work())


def test_both_channels_events_give_the_same_transcript(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.channel_transcript("left"), heard("left", segment()))
        await blobs.put_json(KEY.channel_transcript("right"), heard("right", segment(2, 3)))
        outputs = [
            await merge(transcribed(side), blobs=blobs) for side in ("left", "right", "left")
        ]
        assert outputs == [(merged(),)] * 3

    run(work())


def test_merge_names_every_engine_that_stood_in_once(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        for side in ("left", "right"):
            document = heard(side, degraded=("recognizer:sphinx",))
            await blobs.put_json(KEY.channel_transcript(side), document)
        await merge(transcribed("left"), blobs=blobs)
        kept = await blobs.get_json(KEY.transcript, Transcript)
        assert kept is not None
        assert kept.degraded == ("recognizer:sphinx",)

    run(work())


def test_merge_replaces_a_transcript_of_other_channel_transcripts(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.channel_transcript("left"), heard("left", digest="old"))
        await blobs.put_json(KEY.channel_transcript("right"), heard("right"))
        await merge(transcribed("left"), blobs=blobs)
        await blobs.put_json(KEY.channel_transcript("left"), heard("left", segment(), digest="new"))
        (event,) = await merge(transcribed("left"), blobs=blobs)
        assert isinstance(event, TranscriptMerged)
        kept = await blobs.get_json(KEY.transcript, Transcript)
        assert kept is not None
        assert event.segments == len(kept.segments) == 1

    run(work())


# --- transcribe


@dataclass
class SumRecognizer:
    """Says one word per recording: the sum of its samples."""

    engine: Engine = ENGINE
    requests: list[Request] = field(default_factory=list)

    async def recognize(
        self, blocks: AsyncIterator[Samples], request: Request
    ) -> AsyncIterator[Segment]:
        self.requests.append(request)
        total = 0
        async for block in blocks:
            total += int(block.sum(dtype=np.int64))
        yield segment(0, 1, f"sum {total}")


async def store_channels(blobs: ObjectBlobs, **values: int) -> None:
    """Write a channel per name with 10 samples of that value."""
    for name, value in values.items():
        body = np.full(10, value, "<i2").tobytes()
        await blobs.put(KEY.audio(name), stream([pcm16_header(10, 16_000), body]))


async def transcribe_in(
    blobs: ObjectBlobs,
    recognizer: SumRecognizer,
    serves: tuple[Channel, ...] = ("left", "right"),
    channels: tuple[Channel, ...] = ("left", "right"),
) -> tuple[Event, ...]:
    return await transcribe(
        was_split(channels=channels),
        blobs=blobs,
        recognizer=recognizer,
        serves=serves,
        degraded=("recognizer:test",),
    )


async def said_on(blobs: ObjectBlobs, channel: Channel) -> str | None:
    kept = await blobs.get_json(KEY.channel_transcript(channel), ChannelTranscript)
    return None if kept is None else kept.segments[0].text


def test_every_channel_gets_the_words_of_its_own_samples(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        events = await transcribe_in(blobs, SumRecognizer())
        assert events == (transcribed("left"), transcribed("right"))
        assert await said_on(blobs, "left") == "sum 70"
        assert await said_on(blobs, "right") == "sum -30"

    run(work())


def test_only_the_served_channel_is_transcribed(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        events = await transcribe_in(blobs, SumRecognizer(), serves=("right",))
        assert events == (transcribed("right"),)
        assert await said_on(blobs, "left") is None

    run(work())


def test_a_mono_recording_is_nothing_to_do_for_the_right_channel(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7)
        mono: tuple[Channel, ...] = ("left",)
        assert await transcribe_in(blobs, SumRecognizer(), ("right",), mono) == ()
        assert await transcribe_in(blobs, SumRecognizer(), ("left",), mono) == (
            transcribed("left", channels=mono),
        )

    run(work())


def test_what_was_transcribed_is_not_transcribed_again(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        recognizer = SumRecognizer()
        first = await transcribe_in(blobs, recognizer)
        assert await transcribe_in(blobs, recognizer) == first
        assert len(recognizer.requests) == 2

    run(work())


def test_another_revision_of_the_engine_transcribes_again(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        await transcribe_in(blobs, SumRecognizer())
        newer = SumRecognizer(ENGINE.model_copy(update={"revision": "2"}))
        await transcribe_in(blobs, newer)
        kept = await blobs.get_json(KEY.channel_transcript("left"), ChannelTranscript)
        assert len(newer.requests) == 2
        assert kept is not None
        assert kept.engine.revision == "2"

    run(work())


def test_another_request_transcribes_again(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        recognizer = SumRecognizer()
        await transcribe_in(blobs, recognizer)
        await blobs.put_json(was_split().recording_key.request, REQUEST)
        await transcribe_in(blobs, recognizer)
        assert recognizer.requests == [Request(), Request(), REQUEST, REQUEST]

    run(work())


def test_a_transcript_says_who_made_it(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        await transcribe_in(blobs, SumRecognizer())
        kept = await blobs.get_json(KEY.channel_transcript("right"), ChannelTranscript)
        assert kept is not None
        assert (kept.recording, kept.run, kept.channel) == (RECORDING, 1, "right")
        assert (kept.engine, kept.degraded) == (ENGINE, ("recognizer:test",))

    run(work())


def test_a_channel_that_is_not_there_is_missing(blobs: ObjectBlobs) -> None:
    with pytest.raises(Missing):
        run(_ignore(transcribe_in(blobs, SumRecognizer())))


def test_a_channel_that_is_no_wav_is_given_up(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put(KEY.audio("left"), stream([b"hello, world"]))
        await transcribe_in(blobs, SumRecognizer())

    with pytest.raises(Permanent, match="RIFF/WAVE"):
        run(work())


class CutBlobs(ObjectBlobs):
    """Blobs read in pieces cut at odd places."""

    def __init__(self, places: list[int]) -> None:
        super().__init__(MemoryStore())
        self._places = places

    async def read(self, key: str, start: int = 0) -> AsyncIterator[bytes]:
        whole = b"".join([piece async for piece in super().read(key, start)])
        for piece in cut(whole, self._places):
            yield piece


@settings(max_examples=25)
@given(st.lists(st.integers(0, 64), max_size=12))
def test_samples_are_the_same_wherever_the_blob_is_cut(at: list[int]) -> None:
    async def work() -> None:
        blobs = CutBlobs(at)
        await store_channels(blobs, left=300, right=-300)
        await transcribe_in(blobs, SumRecognizer())
        assert await said_on(blobs, "left") == "sum 3000"
        assert await said_on(blobs, "right") == "sum -3000"

    run(work())


# --- summarize


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
        assert await summarize_in(blobs, summarizer) == (summarized(),)
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


def test_a_summary_that_nobody_wants_is_not_made(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        unwanted = REQUEST.model_copy(update={"enable_summarization": False})
        await blobs.put_json(KEY.transcript, transcript())
        await blobs.put_json(merged().recording_key.request, unwanted)
        summarizer = CountingSummarizer()
        [event] = await summarize_in(blobs, summarizer)
        assert event == summarized().model_copy(update={"summary": None})
        assert summarizer.requests == []
        assert await blobs.size(KEY.summary) is None

    run(work())


def test_without_a_transcript_there_is_nothing_to_summarize(blobs: ObjectBlobs) -> None:
    with pytest.raises(Missing):
        run(_ignore(summarize_in(blobs, CountingSummarizer())))


# --- persist


@dataclass
class FakeRecord:
    """A record that remembers what was written and says it is `alive` or not."""

    alive: bool = True
    stages: list[tuple[str, str]] = field(default_factory=list)
    described: list[Levels] = field(default_factory=list)
    completed: list[tuple[Transcript, Summary | None]] = field(default_factory=list)
    failed: list[tuple[DeliveryParked, Transcript | None]] = field(default_factory=list)

    async def reach(self, event: Event, stage: str) -> None:
        self.stages.append((stage, event.part))

    async def describe(self, event: RecordingSplit, levels: Levels) -> None:
        await self.reach(event, "split")
        self.described.append(levels)

    async def complete(
        self, _: TranscriptSummarized, transcript: Transcript, summary: Summary | None
    ) -> bool:
        self.completed.append((transcript, summary))
        return self.alive

    async def fail(self, event: DeliveryParked, transcript: Transcript | None) -> bool:
        self.failed.append((event, transcript))
        return self.alive


@pytest.fixture
def record() -> FakeRecord:
    return FakeRecord()


COMPLETED = RecordingCompleted(
    tenant="default",
    recording=RECORDING,
    run=1,
    transcript=KEY.transcript,
    summary=KEY.summary,
    request=RecordingKey("default", RECORDING).request,
    duration=2.0,
    segments=2,
    degraded=("recognizer:sphinx", "summarizer:extractive"),
)
FAILED = RecordingFailed(
    tenant="default",
    recording=RECORDING,
    run=1,
    function="transcribe",
    error_class="permanent",
    error_code="invalid_audio",
)


async def store_result(blobs: ObjectBlobs) -> None:
    await blobs.put_json(KEY.transcript, transcript(degraded=("recognizer:sphinx",)))
    await blobs.put_json(KEY.summary, summary(degraded=("summarizer:extractive",)))


def test_stages_are_noted_under_the_name_of_their_function(
    blobs: ObjectBlobs, record: FakeRecord
) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.levels, levels())
        for event in (was_split(), transcribed("left"), transcribed("right"), merged()):
            assert await persist(event, record=record, blobs=blobs) == ()

    run(work())
    assert record.stages == [
        ("split", ""),
        ("transcribe", "left"),
        ("transcribe", "right"),
        ("merge", ""),
    ]
    assert record.described == [levels()]


def test_a_run_whose_summary_nobody_wants_is_completed_without_one(
    blobs: ObjectBlobs, record: FakeRecord
) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.transcript, transcript())
        event = summarized().model_copy(update={"summary": None})
        [completed] = await persist(event, record=record, blobs=blobs)
        assert isinstance(completed, RecordingCompleted)
        assert (completed.summary, completed.degraded) == (None, ())

    run(work())
    assert record.completed == [(transcript(), None)]


def test_the_summary_completes_the_run(blobs: ObjectBlobs, record: FakeRecord) -> None:
    async def work() -> None:
        await store_result(blobs)
        for _ in range(2):
            assert await persist(summarized(), record=record, blobs=blobs) == (COMPLETED,)

    run(work())
    kept = transcript(degraded=("recognizer:sphinx",)), summary(degraded=("summarizer:extractive",))
    assert record.completed == [kept, kept]


def test_a_run_that_ended_otherwise_is_not_announced_as_completed(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_result(blobs)
        assert await persist(summarized(), record=FakeRecord(alive=False), blobs=blobs) == ()

    run(work())


@pytest.mark.parametrize("there", ["transcript", "summary"])
def test_a_run_without_its_result_is_not_completed(
    blobs: ObjectBlobs, record: FakeRecord, there: str
) -> None:
    async def work() -> None:
        document = transcript() if there == "transcript" else summary()
        await blobs.put_json(f"{KEY}/{there}.json", document)
        await persist(summarized(), record=record, blobs=blobs)

    with pytest.raises(Missing):
        run(work())
    assert record.completed == []


def test_a_parked_delivery_fails_the_run(blobs: ObjectBlobs, record: FakeRecord) -> None:
    async def work() -> None:
        for _ in range(2):
            assert await persist(parked(), record=record, blobs=blobs) == (FAILED,)

    run(work())
    assert record.failed == [(parked(), None)] * 2


def test_a_failed_run_keeps_the_transcript_that_it_has(
    blobs: ObjectBlobs, record: FakeRecord
) -> None:
    async def work() -> None:
        await store_result(blobs)
        await persist(parked(), record=record, blobs=blobs)

    run(work())
    assert record.failed == [(parked(), transcript(degraded=("recognizer:sphinx",)))]


def test_a_run_that_ended_otherwise_is_not_announced_as_failed(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        assert await persist(parked(), record=FakeRecord(alive=False), blobs=blobs) == ()

    run(work())


async def _ignore(work: Coroutine[Any, Any, object]) -> None:
    await work
