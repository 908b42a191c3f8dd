"""The handler of persist on small fakes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from events import (
    DeliveryParked,
    Event,
    RecordingCompleted,
    RecordingFailed,
    RecordingSplit,
    TranscriptSummarized,
)
from events.documents import (
    Levels,
    Summary,
    Transcript,
)
from events.keys import RecordingKey
from functions.persist.handler import persist
from shared.blobs import ObjectBlobs
from shared.errors import Missing
from tests.support.examples import (
    RECORDING,
    levels,
    merged,
    parked,
    summarized,
    summary,
    transcribed,
    transcript,
    was_split,
)
from tests.support.handlers import KEY, misdirected
from tests.support.waiting import run


@dataclass
class FakeRecord:
    """A record that remembers what was written and says it is `alive` or not."""

    alive: bool = True
    stages: list[tuple[str, str]] = field(default_factory=list)
    times: list[datetime | None] = field(default_factory=list)
    described: list[Levels] = field(default_factory=list)
    completed: list[tuple[Transcript, Summary | None]] = field(default_factory=list)
    unsummarized: list[tuple[TranscriptSummarized, Transcript, Sequence[str]]] = field(
        default_factory=list
    )
    failed: list[tuple[DeliveryParked, Transcript | None]] = field(default_factory=list)

    async def reach(self, event: Event, stage: str, at: datetime | None = None) -> None:
        self.stages.append((stage, event.part))
        self.times.append(at)

    async def describe(
        self, event: RecordingSplit, levels: Levels, at: datetime | None = None
    ) -> None:
        await self.reach(event, "split", at)
        self.described.append(levels)

    async def complete(
        self,
        _: TranscriptSummarized,
        transcript: Transcript,
        summary: Summary | None,
        at: datetime | None = None,
    ) -> bool:
        self.completed.append((transcript, summary))
        self.times.append(at)
        return self.alive

    async def complete_without_summary(
        self,
        event: TranscriptSummarized,
        transcript: Transcript,
        degraded: Sequence[str],
        at: datetime | None = None,
    ) -> bool:
        self.unsummarized.append((event, transcript, degraded))
        self.times.append(at)
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


def test_stages_are_reached_at_the_times_of_their_events(
    blobs: ObjectBlobs, record: FakeRecord
) -> None:
    times = [datetime(2026, 7, 1, tzinfo=UTC) + timedelta(seconds=number) for number in range(4)]
    first, second, third, fourth = times

    async def work() -> None:
        await blobs.put_json(KEY.levels, levels())
        await store_result(blobs)
        await persist(was_split(), record=record, blobs=blobs, at=first)
        await persist(transcribed("left"), record=record, blobs=blobs, at=second)
        await persist(merged(), record=record, blobs=blobs, at=third)
        await persist(summarized(), record=record, blobs=blobs, at=fourth)

    run(work())
    assert record.times == times


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


MEANT = summarized().model_copy(update={"digest": "t", "summary_digest": "s"})


@pytest.mark.parametrize("field", ["digest", "summary_digest"])
def test_a_result_of_which_a_part_was_replaced_waits_for_the_newer_part_s_event(
    blobs: ObjectBlobs, record: FakeRecord, field: str
) -> None:
    """Else a summary would stand beside a transcript from which it was not made."""

    async def work() -> None:
        await store_result(blobs)
        outdated = MEANT.model_copy(update={field: "older"})
        assert await persist(outdated, record=record, blobs=blobs) == ()
        assert record.completed == []
        assert await persist(MEANT, record=record, blobs=blobs) == (COMPLETED,)

    run(work())


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


GIVEN_UP = parked().model_copy(update={"function": "summarize"})
DEGRADED = ("recognizer:sphinx", "summarizer:none")
UNSUMMARIZED = summarized().model_copy(
    update={"summary": None, "digest": transcript().digest, "duration": levels().duration}
)


def test_a_summary_that_was_given_up_completes_the_run_without_one(
    blobs: ObjectBlobs, record: FakeRecord
) -> None:
    at = datetime(2026, 7, 1, tzinfo=UTC)

    async def work() -> None:
        await blobs.put_json(KEY.levels, levels())
        await store_result(blobs)
        [completed] = await persist(GIVEN_UP, record=record, blobs=blobs, at=at)
        changed = {"summary": None, "degraded": DEGRADED, "duration": levels().duration}
        assert completed == COMPLETED.model_copy(update=changed)

    run(work())
    kept = transcript(degraded=("recognizer:sphinx",))
    assert record.unsummarized == [(UNSUMMARIZED, kept, DEGRADED)]
    assert (record.times, record.failed) == ([at], [])


def test_a_run_that_ended_otherwise_is_not_completed_without_a_summary(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.levels, levels())
        await store_result(blobs)
        assert await persist(GIVEN_UP, record=FakeRecord(alive=False), blobs=blobs) == ()

    run(work())


def test_without_a_transcript_a_summary_that_was_given_up_fails_the_run(
    blobs: ObjectBlobs, record: FakeRecord
) -> None:
    [failed] = run(persist(GIVEN_UP, record=record, blobs=blobs))
    assert isinstance(failed, RecordingFailed)
    assert record.failed == [(GIVEN_UP, None)]


def test_a_run_that_ended_otherwise_is_not_announced_as_failed(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        assert await persist(parked(), record=FakeRecord(alive=False), blobs=blobs) == ()

    run(work())


def test_a_foreign_key_in_the_event_is_neither_read_nor_passed_on(
    blobs: ObjectBlobs, record: FakeRecord
) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.levels, levels())
        await store_result(blobs)
        assert await persist(misdirected(was_split()), record=record, blobs=blobs) == ()
        done = await persist(misdirected(summarized()), record=record, blobs=blobs)
        assert done == (COMPLETED,)
        assert record.described == [levels()]

    run(work())
