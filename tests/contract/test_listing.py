"""What ingest tells of many recordings, from a real PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from events.documents import AudioWarning, Request
from functions.ingest.adapters import PostgresRecord
from functions.ingest.figures import Figures, Uploads, exposition
from functions.ingest.http.views import Page, Session, State
from functions.ingest.upload.upload import Audio
from functions.persist.adapters import PostgresRecord as PersistRecord
from shared.record.database import Database
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
UNKNOWN = Audio("call.mp3", 1, 9_000, "ab" * 32, "mp3", None, None, None)
REQUEST = Request(external_id="call-1", roles={"left": "agent"}, labels={"team": "north"})


def on(url: str, work: Callable[[Database], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with Database.open(url, "pocwhisp_app", size=2) as database:
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
    database: Database, state: State | None = None, limit: int = 10, offset: int = 0
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


def test_the_figures_are_those_of_the_record(url: str) -> None:
    async def work(database: Database) -> Figures:
        done, failed, _ = await accept(database, 3)
        await complete(database, done)
        await fail(database, failed)
        return await PostgresRecord(database).figures()

    figures = on(url, work)
    assert figures.runs == {"completed": 1, "failed": 1, "queued": 1}
    assert figures.audio_seconds == 2.5
    assert figures.processing_seconds > 0
    assert figures.real_time_factor == pytest.approx(figures.processing_seconds / 2.5)
    assert figures.deliveries["split", "delivered"] == 1
    assert figures.deliveries["persist", "delivered"] == 1
    assert figures.deliveries["transcribe", "parked"] == 1
    assert {stage.stage for stage in figures.stages} >= {"split", "transcribe", "completed"}


def test_the_figures_are_prometheus_text() -> None:
    uploads = Uploads()
    uploads.note("accepted")
    uploads.note("invalid_audio")
    text = exposition(uploads, Figures({"queued": 2}, {("split", "delivered"): 7}, 1, 2, 0.5, []))
    for line in (
        'pocwhisp_uploads_total{outcome="accepted"} 1.0',
        'pocwhisp_uploads_total{outcome="invalid_audio"} 1.0',
        'pocwhisp_backlog{state="queued"} 2.0',
        'pocwhisp_deliveries_total{function="split",outcome="delivered"} 7.0',
        "pocwhisp_real_time_factor 0.5",
        "pocwhisp_audio_seconds_total 1.0",
    ):
        assert line in text.decode()
