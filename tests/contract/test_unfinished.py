"""What the sweep looks after, on a real PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from events import Envelope, Event, RecordingCompleted, RecordingFailed
from functions.persist.adapters import PostgresRecordWriter
from functions.persist.record import OpenRun
from functions.persist.sweep import LastEvent, SweepReport, sweep_once
from functions.persist.sweep_adapters import PostgresOpenRuns
from shared.record.database import Database
from tests.support.examples import (
    RECORDING,
    levels,
    merged,
    parked,
    received,
    summarized,
    summary,
    transcribed,
    transcript,
    was_split,
)
from tests.support.handlers import misdirected
from tests.support.records import (
    EARLY,
    LATE,
    accept,
    complete,
    on,
    rows,
)

pytest_plugins = ["tests.support.databases"]
PATIENCE = timedelta(seconds=10)


async def claim(database: Database, before: datetime = LATE, limit: int = 100) -> list[OpenRun]:
    return list(await PostgresOpenRuns(database).claim(before, limit))


def prepared(url: str, *recordings: UUID, end: Callable[[Database], Awaitable[object]]) -> None:
    """Accept the recordings and bring them to an end, as the app does."""

    async def work(database: Database) -> None:
        await accept(database, *recordings)
        await end(database)

    on(url, work)


async def nothing(_: Database) -> None:
    """Leave the run under way."""


async def split_and_transcribe(database: Database) -> None:
    record = PostgresRecordWriter(database)
    for event in (transcribed("right"), transcribed("left")):
        await record.reach(event, "transcribe")
    await record.describe(was_split(), levels().model_copy(update={"duration": 2.0}))


async def merge(database: Database) -> None:
    await split_and_transcribe(database)
    await PostgresRecordWriter(database).reach(merged(), "merge")


def give_up_summary(database: Database) -> Awaitable[object]:
    without = summarized().model_copy(update={"summary": None})
    record = PostgresRecordWriter(database)
    return record.complete_without_summary(without, transcript(), UNSUMMARIZED.degraded)


def outcome(database: Database) -> Awaitable[object]:
    return PostgresRecordWriter(database).fail(parked(), None)


COMPLETED = RecordingCompleted(
    tenant="default",
    recording=RECORDING,
    run=1,
    transcript=summarized().transcript,
    summary=summarized().summary,
    request=received().request,
    duration=2.0,
    segments=2,
    degraded=("recognizer:sphinx", "summarizer:test"),
)
UNSUMMARIZED = COMPLETED.model_copy(update={"summary": None, "degraded": ("summarizer:none",)})
FAILED = RecordingFailed(
    tenant="default",
    recording=RECORDING,
    run=1,
    function="transcribe",
    error_class="permanent",
    error_code="invalid_audio",
)
ENDS = (COMPLETED, UNSUMMARIZED, FAILED)
ON_RECORD: list[tuple[Callable[[Database], Awaitable[object]], tuple[Event, ...]]] = [
    (nothing, (received(),)),
    (split_and_transcribe, (received(), was_split(), transcribed("left"))),
    (merge, (received(), was_split(), transcribed("left"), merged())),
    (complete, (COMPLETED,)),
    (give_up_summary, (UNSUMMARIZED,)),
    (outcome, (FAILED,)),
]
"""What is done, and the events on record in order; those of the right channel left out."""


@pytest.mark.parametrize(("end", "events"), ON_RECORD)
def test_the_sweep_gets_the_events_of_the_stages_reached_or_of_the_end(
    url: str, end: Callable[[Database], Awaitable[object]], events: tuple[Event, ...]
) -> None:
    async def work(database: Database) -> None:
        [run] = await claim(database)
        by_type = [event for event in run.events if event.part != "right"]
        assert tuple(by_type) == events
        assert run.ended == (type(events[0]) if events[0] in ENDS else None)
        assert abs(datetime.now(UTC) - run.reached_at) < timedelta(minutes=1)

    prepared(url, end=end)
    on(url, work, role="pocwhisp_system")


async def complete_misdirected(database: Database) -> None:
    done = transcript(degraded=("recognizer:sphinx",)), summary(degraded=("summarizer:test",))
    await PostgresRecordWriter(database).complete(misdirected(summarized()), *done)


def test_an_end_is_announced_with_the_keys_of_its_own_run(url: str) -> None:
    async def work(database: Database) -> None:
        [run] = await claim(database)
        assert run.events == (COMPLETED,)

    prepared(url, end=complete_misdirected)
    on(url, work, role="pocwhisp_system")


def test_what_an_older_release_put_on_record_is_swept_by_what_it_tells(url: str) -> None:
    async def work(database: Database) -> None:
        [run] = await claim(database)
        assert (run.events, run.ended) == ((received(),), RecordingCompleted)

    prepared(url, end=complete)
    rows(url, "UPDATE pocwhisp.stages SET event = NULL RETURNING 1")
    on(url, work, role="pocwhisp_system")


def test_a_row_that_fits_no_event_does_not_hold_up_the_others(url: str) -> None:
    async def work(database: Database) -> None:
        assert [run.events[0].recording for run in await claim(database)] == [UUID(int=2)]

    prepared(url, UUID(int=1), UUID(int=2), end=nothing)
    rows(
        url,
        """
        UPDATE pocwhisp.runs SET state = 'failed', failure = '{}'
        WHERE recording = '00000000-0000-0000-0000-000000000001' RETURNING 1
        """,
    )
    on(url, work, role="pocwhisp_system")


def test_the_trace_of_the_upload_is_on_record(url: str) -> None:
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"

    async def work(database: Database) -> None:
        [run] = await claim(database)
        assert run.traceparent == trace

    on(url, lambda database: accept(database, traceparent=trace))
    on(url, work, role="pocwhisp_system")


def test_a_run_is_left_alone_until_it_has_waited(url: str) -> None:
    async def work(database: Database) -> None:
        assert await claim(database, EARLY) == []
        assert len(await claim(database)) == 1
        just_now = datetime.now(UTC) - timedelta(minutes=1)
        assert await claim(database, just_now) == []

    prepared(url, end=nothing)
    on(url, work, role="pocwhisp_system")


def test_those_that_waited_longest_come_first(url: str) -> None:
    recordings = [UUID(int=number) for number in range(1, 6)]

    async def work(database: Database) -> None:
        looks = [
            {run.events[0].recording for run in await claim(database, limit=2)} for _ in range(3)
        ]
        assert looks[:2] == [set(recordings[:2]), set(recordings[2:4])]
        assert recordings[4] in looks[2]

    prepared(url, *recordings, end=nothing)
    on(url, work, role="pocwhisp_system")


def test_two_sweeps_at_the_same_time_never_have_the_same_run(url: str) -> None:
    recordings = [UUID(int=number) for number in range(1, 41)]

    async def work(database: Database) -> None:
        before = datetime.now(UTC)
        sweeps = await asyncio.gather(*(claim(database, before, 10) for _ in range(4)))
        claimed = [run.events[0].recording for runs in sweeps for run in runs]
        assert len(claimed) == len(set(claimed)) >= 10

    prepared(url, *recordings, end=nothing)
    on(url, work, role="pocwhisp_system")


def test_what_was_saved_is_there_at_the_next_look(url: str) -> None:
    held_since = datetime(2026, 7, 1, tzinfo=UTC)

    async def work(database: Database) -> None:
        [run] = await claim(database)
        changed = replace(run, redrives=3, held_since=held_since)
        await PostgresOpenRuns(database).save([changed])
        assert await claim(database) == [changed]

    prepared(url, end=nothing)
    on(url, work, role="pocwhisp_system")


def test_what_was_announced_is_not_looked_at_again(url: str) -> None:
    async def work(database: Database) -> None:
        [run] = await claim(database)
        await PostgresOpenRuns(database).save([replace(run, announced=True)])
        assert await claim(database) == []

    prepared(url, end=complete)
    on(url, work, role="pocwhisp_system")


def test_a_cancelled_run_is_left_alone_and_not_kept_among_those_to_sweep(url: str) -> None:
    async def cancel(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute("UPDATE runs SET state = 'cancelled'")

    async def work(database: Database) -> None:
        assert await claim(database) == []

    prepared(url, end=cancel)
    on(url, work, role="pocwhisp_system")
    [(index,)] = rows(url, "SELECT indexdef FROM pg_indexes WHERE indexname = 'runs_to_sweep'")
    assert "cancelled" in index


@dataclass
class SlowBroker:
    """Has nothing, and answers only when it is released."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    published: list[Envelope[Event]] = field(default_factory=list)

    async def last_event(self, _: str) -> LastEvent | None:
        self.asked.set()
        await self.released.wait()
        return None

    async def publish(self, envelope: Envelope[Event]) -> None:
        self.published.append(envelope)


def test_a_completion_does_not_wait_for_a_sweep_that_waits_for_the_broker(url: str) -> None:
    async def work(app: Database) -> None:
        await accept(app)
        broker = SlowBroker()
        async with Database.open(url, "pocwhisp_system", size=1) as system:
            open_runs = PostgresOpenRuns(system)
            sweeping = asyncio.create_task(sweep_once(open_runs, broker, LATE, PATIENCE))
            await broker.asked.wait()
            async with asyncio.timeout(5):
                assert await complete(app)
                await system.check()  # the sweep holds no connection either
            broker.released.set()
            assert await sweeping == SweepReport(examined=1, redriven=1)
            assert [run.redrives for run in await claim(system)] == [1]

    on(url, work)
