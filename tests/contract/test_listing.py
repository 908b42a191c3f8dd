"""What ingest tells of many recordings, from a real PostgreSQL."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg import AsyncClientCursor, AsyncCursor
from uuid_utils.compat import uuid7

from events.base import RunState
from events.documents import AudioWarning, Request
from functions.ingest.adapters import PostgresRecord
from functions.ingest.metrics import Histogram, SystemMetrics, UploadCounter, exposition
from functions.ingest.views import Page, Session
from functions.persist.adapters import PostgresRecordWriter as PersistRecord
from shared.record import recordings, runs, totals
from shared.record.connection import conninfo
from shared.record.database import Database
from shared.recording import Position, UploadedAudio
from tests.support.examples import (
    levels,
    parked,
    received,
    summarized,
    summary,
    transcribed,
    transcript,
    was_split,
)

pytest_plugins = ["tests.support.databases"]

T = TypeVar("T")
UNKNOWN = UploadedAudio("call.mp3", 1, 9_000, "ab" * 32, "mp3", None, None, None)
REQUEST = Request(external_id="call-1", roles={"left": "agent"}, labels={"team": "north"})


def on(url: str, work: Callable[[Database], Awaitable[T]], *, size: int = 2) -> T:
    async def opened() -> T:
        async with Database.open(url, "pocwhisp_app", size=size) as database:
            return await work(database)

    return asyncio.run(opened())


async def accept(database: Database, count: int) -> list[UUID]:
    """So many recordings, oldest first."""
    recordings = [uuid7() for _ in range(count)]
    for recording in recordings:
        event = received(recording).model_copy(update={"duration": None})
        await PostgresRecord(database).accept(event, UNKNOWN, REQUEST, age=0.0)
    return recordings


async def complete(database: Database, recording: UUID) -> None:
    record = PersistRecord(database)
    warning = AudioWarning(code="truncated", message="cut off")
    await record.describe(was_split(recording), levels(recording, warning))
    await record.reach(transcribed("left", recording), "transcribe")
    await record.complete(
        summarized(recording), transcript(recording=recording), summary(recording)
    )


async def fail(database: Database, recording: UUID) -> None:
    await PersistRecord(database).fail(parked(recording), None)


async def page(
    database: Database, state: RunState | None = None, limit: int = 10, offset: int = 0
) -> Page:
    return await PostgresRecord(database).page("default", state, limit, offset)


def ids(found: Page) -> list[UUID]:
    return [session.session_id for session in found.sessions]


def test_recordings_are_listed_newest_first_with_a_true_total(url: str) -> None:
    async def work(database: Database) -> None:
        recordings = await accept(database, 5)
        first, second = await page(database, limit=3), await page(database, limit=3, offset=3)
        assert ids(first) + ids(second) == recordings[::-1]
        assert first.pagination.total == second.pagination.total == 5
        assert ids(await page(database, offset=5)) == []

    on(url, work)


def test_a_list_may_be_of_one_state(url: str) -> None:
    async def work(database: Database) -> None:
        done, failed, waiting = await accept(database, 3)
        await complete(database, done)
        await fail(database, failed)
        for state, expected in (("completed", done), ("failed", failed), ("queued", waiting)):
            found = await page(database, state)  # type: ignore[arg-type]
            assert (ids(found), found.pagination.total) == ([expected], 1)
        assert ids(await page(database, "cancelled")) == []

    on(url, work)


def test_another_tenants_recordings_are_not_listed(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database, 1)
        others = await PostgresRecord(database).page("other", None, 10, 0)
        assert (others.sessions, others.pagination.total) == ([], 0)

    on(url, work)


def test_what_the_client_asked_for_comes_back_in_list_and_body(url: str) -> None:
    async def work(database: Database) -> tuple[Page, Session | None]:
        [recording] = await accept(database, 1)
        return await page(database), await PostgresRecord(database).find("default", recording)

    found, session = on(url, work)
    assert session is not None
    for asked in (found.sessions[0].request, session.request):
        assert (asked.external_id, asked.labels) == ("call-1", {"team": "north"})
        assert asked.channels == {"left": "agent"}


def test_what_only_decoding_can_tell_is_filled_in_when_it_is_known(url: str) -> None:
    async def work(database: Database) -> tuple[Session | None, Session | None]:
        record = PostgresRecord(database)
        [recording] = await accept(database, 1)
        before = await record.find("default", recording)
        await complete(database, recording)
        return before, await record.find("default", recording)

    before, after = on(url, work)
    assert before is not None
    assert after is not None
    assert (before.metadata.duration, before.metadata.channels) == (None, None)
    assert (after.metadata.duration, after.metadata.sample_rate) == (2.5, 44_100)
    assert (after.metadata.channels, after.metadata.container) == (2, "flac")
    assert after.metadata.warnings == [AudioWarning(code="truncated", message="cut off")]
    assert after.metadata.levels[0].peak == -3.0


def test_a_run_that_is_completed_before_its_split_is_noted_can_be_swept(url: str) -> None:
    async def work(database: Database) -> float | None:
        [recording] = await accept(database, 1)
        await PersistRecord(database).complete(
            summarized(recording), transcript(recording=recording), summary(recording)
        )
        session = await PostgresRecord(database).find("default", recording)
        return session.metadata.duration if session else None

    assert on(url, work) == summarized().duration


def test_the_engines_are_those_of_the_run_that_ended_last(url: str) -> None:
    async def work(database: Database) -> None:
        record = PostgresRecord(database)
        [recording] = await accept(database, 1)
        assert (await record.engines("default")).recognizer is None
        await complete(database, recording)
        engines = await record.engines("default")
        assert (engines.recognizer, engines.summarizer) == ("test 1", "test 1")

    on(url, work)


def test_the_metrics_are_those_of_the_record(url: str) -> None:
    async def work(database: Database) -> SystemMetrics:
        done, failed, _ = await accept(database, 3)
        await complete(database, done)
        await fail(database, failed)
        return await PostgresRecord(database).metrics()

    metrics = on(url, work)
    assert metrics.backlog == {"completed": 1, "failed": 1, "queued": 1, "processing": 0}
    assert metrics.ended == {"completed": 1, "failed": 1}
    assert metrics.audio_seconds == 2.5
    assert metrics.processing_seconds > 0
    assert metrics.real_time_factor == pytest.approx(metrics.processing_seconds / 2.5)
    assert metrics.delivered == {"split": 1, "transcribe": 1, "summarize": 1, "persist": 1}
    assert metrics.parked == {"transcribe": 1}
    assert metrics.stages.keys() == {"split", "transcribe", "summarize", "completed", "failed"}
    assert all(histogram.buckets[-1] == ("+Inf", 1) for histogram in metrics.stages.values())


def test_what_was_counted_does_not_fall_when_a_recording_is_erased(url: str) -> None:
    async def work(database: Database) -> tuple[SystemMetrics, SystemMetrics, int]:
        done, failed, _ = await accept(database, 3)
        await complete(database, done)
        await fail(database, failed)
        record = PostgresRecord(database)
        before = await record.metrics()
        async with database.transaction() as connection:
            await connection.execute("DELETE FROM recordings WHERE id <> %s", [failed])
        return before, await record.metrics(), (await page(database)).pagination.total

    before, after, total = on(url, work)
    assert total == 1
    assert after.backlog == {"completed": 0, "failed": 1, "queued": 0, "processing": 0}
    for name in ("ended", "delivered", "parked", "audio_seconds", "stages"):
        assert getattr(after, name) == getattr(before, name)


def test_totals_are_exact_when_many_write_at_once(url: str) -> None:
    async def work(database: Database) -> None:
        kept = await accept(database, 24)
        ends = [complete(database, recording) for recording in kept[:8]]
        ends += [fail(database, recording) for recording in kept[8:16]]
        await asyncio.gather(*ends)
        for state, count in ((None, 24), ("completed", 8), ("failed", 8), ("queued", 8)):
            assert (await page(database, state)).pagination.total == count  # type: ignore[arg-type]

    on(url, work, size=8)


@pytest.mark.parametrize("state", [None, "queued"])
def test_pages_by_cursor_go_through_all_recordings_and_back(
    url: str, state: RunState | None
) -> None:
    async def walk(database: Database, start: Position | None, step: str) -> list[list[UUID]]:
        pages = []
        async with database.transaction() as connection:
            while True:
                found = await recordings.fetch_page(connection, "default", state, 3, start or 0)
                pages.append([one.id for one in found.recordings])
                start = getattr(found, step)
                if start is None:
                    return pages

    async def work(database: Database) -> None:
        kept = (await accept(database, 8))[::-1]
        there = await walk(database, None, "next")
        assert there == [kept[:3], kept[3:6], kept[6:]]
        async with database.transaction() as connection:
            found = await recordings.fetch_page(connection, "default", state, 3, 6)
        assert await walk(database, found.previous, "previous") == [kept[3:6], kept[:3]]
        assert (found.next, found.more_before) == (None, True)

    on(url, work)


def test_a_page_by_cursor_does_not_move_when_new_recordings_come(url: str) -> None:
    async def work(database: Database) -> None:
        kept = (await accept(database, 4))[::-1]
        async with database.transaction() as connection:
            first = await recordings.fetch_page(connection, "default", None, 2)
        await accept(database, 3)
        async with database.transaction() as connection:
            assert first.next is not None
            second = await recordings.fetch_page(connection, "default", None, 2, first.next)
        assert [one.id for one in second.recordings] == kept[2:]

    on(url, work)


BIG = ("recordings", "runs", "stages", "documents")


def plan(url: str, query: str) -> str:
    with psycopg.connect(conninfo(url, "pocwhisp_app")) as connection:
        for way in ("seqscan", "bitmapscan", "sort"):  # what is cheaper in a small table
            connection.execute(f"SET enable_{way} = off".encode())
        return "\n".join(row[0] for row in connection.execute(f"EXPLAIN {query}".encode()))


def test_no_list_page_or_figure_reads_a_whole_table(url: str) -> None:
    asked: list[str] = []

    async def work(database: Database) -> None:
        async with database.transaction() as connection:
            connection.cursor_factory = noting(asked)
            for state in (None, "failed"):
                place = Position(datetime.now(UTC), UUID(int=1))
                for start in (0, place, replace(place, backwards=True)):
                    await recordings.fetch_page(connection, "default", state, 10, start)
                await totals.count_recordings(connection, "default", state)
            await totals.system_totals(connection)
            await runs.last_engines(connection, "default")
            await runs.recent_factor(connection)

    on(url, work)
    assert len(asked) == 11
    for query in asked:
        found = plan(url, query)
        assert not re.search(rf"Seq Scan on ({'|'.join(BIG)})", found), found
        assert found.count("Sort Key") <= 1, found  # of one page, once its rows are chosen


def noting(asked: list[str]) -> type[AsyncCursor[Any]]:
    """A cursor that notes its queries with their parameters in place."""

    class Noting(AsyncCursor[Any]):
        async def execute(self, query: Any, params: Any = None, **more: Any) -> Any:  # noqa: ANN401
            asked.append(AsyncClientCursor(self.connection).mogrify(query, params))
            return await super().execute(query, params, **more)

    return Noting


def histogram(*counts: float) -> Histogram:
    limits = ("0.5", "1", "+Inf")
    return Histogram(list(zip(limits, counts, strict=True)), 3.5)


METRICS = SystemMetrics(
    backlog={"queued": 2},
    ended={"completed": 5},
    delivered={"split": 7},
    parked={"transcribe": 1},
    audio_seconds=1,
    processing_seconds=2,
    real_time_factor=0.5,
    stages={"split": histogram(1, 2, 4)},
)


def test_the_metrics_are_prometheus_text() -> None:
    uploads = UploadCounter()
    uploads.note("accepted")
    uploads.note("invalid_audio")
    text = exposition(uploads, METRICS).decode()
    for line in (
        'pocwhisp_uploads_total{outcome="accepted"} 1.0',
        'pocwhisp_uploads_total{outcome="invalid_audio"} 1.0',
        'pocwhisp_record_backlog{state="queued"} 2.0',
        'pocwhisp_record_runs_total{state="completed"} 5.0',
        'pocwhisp_record_runs_total{state="failed"} 0.0',
        'pocwhisp_record_deliveries_total{function="split",outcome="delivered"} 7.0',
        'pocwhisp_record_deliveries_total{function="transcribe",outcome="parked"} 1.0',
        "pocwhisp_record_real_time_factor 0.5",
        "pocwhisp_record_audio_seconds_total 1.0",
        'pocwhisp_record_stage_seconds_bucket{le="1",stage="split"} 2.0',
        'pocwhisp_record_stage_seconds_count{stage="split"} 4.0',
        'pocwhisp_record_stage_seconds_sum{stage="split"} 3.5',
    ):
        assert line in text
    assert "quantile" not in text


def test_every_figure_of_the_record_has_a_name_of_its_own() -> None:
    families = text_string_to_metric_families(exposition(UploadCounter(), METRICS).decode())
    names = {family.name for family in families} - {"pocwhisp_uploads"}
    assert all(name.startswith("pocwhisp_record_") for name in names), names
    assert len(names) == 7
