"""What PostgreSQL keeps: who may do what, and what ingest, persist and the sweep may rely on."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, UniqueViolation

import shared.database
from events import Event, RecordingCompleted, RecordingFailed
from events.documents import Engine, Request
from functions.ingest.adapters import PostgresRecord as IngestRecord
from functions.ingest.upload import Audio
from functions.ingest.views import Session
from functions.persist.adapters import PostgresRecord
from functions.persist.record import Unannounced
from functions.persist.sweep_adapters import unfinished
from shared.database import NEEDED_MIGRATION, Database, Role, conninfo
from shared.errors import Unavailable
from tests.examples import (
    RECORDING,
    merged,
    parked,
    received,
    summarized,
    summary,
    transcribed,
    transcript,
    was_split,
)

if TYPE_CHECKING:
    from tests.databases import Databases

pytest_plugins = ["tests.databases"]

Work: TypeAlias = Callable[[Database], Coroutine[Any, Any, None]]
ROOT = Path(__file__).parents[2]
VERSIONS = ROOT / "functions" / "persist" / "migrations" / "versions"
AUDIO = Audio("call.wav", 1, 64_044, "ab" * 32, "wav", 2, 8_000, 2.0)
TABLES = {"recordings", "runs", "stages", "segments", "summaries"}
EARLY = datetime(2020, 1, 1, tzinfo=UTC)
LATE = datetime(2100, 1, 1, tzinfo=UTC)
LOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture
def url(databases: "Databases") -> str:
    return databases.migrated()


def on(url: str, work: Work, *, role: Role = "pocwhisp_app", size: int = 8) -> None:
    """Do the work with the database opened in the role."""

    async def opened() -> None:
        async with Database.open(url, role, size=size) as database:
            await work(database)

    asyncio.run(opened())


def rows(url: str, query: str, role: str | None = None) -> list[tuple[Any, ...]]:
    """What the query gives to the superuser, or to a session in the role."""
    info = url if role is None else conninfo(url, role)
    with psycopg.connect(info, autocommit=True) as connection:
        return list(connection.execute(sql.SQL(query)))


async def accept(database: Database, *recordings: UUID) -> None:
    for recording in recordings or (RECORDING,):
        await IngestRecord(database).accept(received(recording), AUDIO, Request(), age=0.0)


async def found(database: Database, recording: UUID = RECORDING) -> Session:
    session = await IngestRecord(database).find("default", recording)
    assert session is not None
    return session


async def complete(database: Database) -> bool:
    done = transcript(degraded=("recognizer:sphinx",)), summary(degraded=("summarizer:test",))
    return await PostgresRecord(database).complete(summarized(), *done)


async def lock_waits(url: str, number: int) -> None:
    """Wait until so many sessions wait for a lock."""
    async with asyncio.timeout(5):
        while await asyncio.to_thread(rows, url, LOCKED) < [(number,)]:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)


async def eventually(look: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Look again until the part is there."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await look()
            except Unavailable:
                await asyncio.sleep(0.05)


# --- migrations and roles


def test_migrations_at_the_same_time_do_not_disturb_each_other(databases: "Databases") -> None:
    urls = [databases.empty()] * 2 + [databases.empty()]
    command = [sys.executable, "-m", "functions.persist.migrate"]
    running = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}) for url in urls
    ]
    assert [process.wait(30) for process in running] == [0, 0, 0]
    for url in urls:
        assert rows(url, "SELECT version_num FROM pocwhisp.alembic_version") == [("0002",)]


def test_readiness_waits_for_the_newest_migration(url: str) -> None:
    assert max(path.name for path in VERSIONS.glob("0*.py")).startswith(NEEDED_MIGRATION)
    on(url, lambda database: database.check())
    rows(url, "UPDATE pocwhisp.alembic_version SET version_num = '0001' RETURNING 1")
    with pytest.raises(Unavailable, match="0001"):
        on(url, lambda database: database.check())


def test_the_owner_owns_every_table(url: str) -> None:
    owned = rows(url, "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'pocwhisp'")
    assert set(owned) == {(name, "pocwhisp_owner") for name in {*TABLES, "alembic_version"}}
    assert rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_every_table_has_its_tenant(url: str) -> None:
    with_tenant = rows(
        url,
        """
        SELECT table_name FROM information_schema.columns
        WHERE table_schema = 'pocwhisp' AND column_name = 'tenant' AND is_nullable = 'NO'
        """,
    )
    assert {name for (name,) in with_tenant} == TABLES


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE stages",
        "ALTER TABLE runs ADD COLUMN more text",
        "TRUNCATE recordings CASCADE",
        "CREATE TABLE mine (id int)",
        "UPDATE alembic_version SET version_num = '9'",
        "DROP SCHEMA pocwhisp CASCADE",
    ],
)
def test_the_app_cannot_change_the_schema(url: str, query: str) -> None:
    with pytest.raises((InsufficientPrivilege, psycopg.errors.InvalidSchemaName)):
        rows(url, query, "pocwhisp_app")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM summaries",
        "SELECT * FROM stages",
        "INSERT INTO runs (recording, run, tenant) VALUES (gen_random_uuid(), 1, 'default')",
        "DELETE FROM runs",
        "UPDATE recordings SET file_name = ''",
        "DELETE FROM segments",
    ],
)
def test_the_sweep_can_only_do_what_it_needs(url: str, query: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        rows(url, query, "pocwhisp_system")


# --- accepting


def test_an_accepted_recording_waits_in_the_queue(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        session = await found(database)
        assert (session.session_id, session.status) == (RECORDING, "queued")
        (stage,) = session.progress
        assert (stage.stage, stage.channel, stage.sequence) == ("received", None, 1)
        assert 0 <= stage.seconds < 5
        assert (session.transcript, session.summary, session.error) == (None, None, None)
        assert (session.metadata.file_name, session.metadata.duration) == ("call.wav", 2.0)
        assert (session.metadata.channels, session.metadata.sample_rate) == (2, 8_000)

    on(url, work)


def test_time_counts_from_the_end_of_the_upload(url: str) -> None:
    async def work(database: Database) -> None:
        await IngestRecord(database).accept(received(), AUDIO, Request(), age=3.0)
        await complete(database)
        session = await found(database)
        assert 3 <= session.progress[0].seconds < 8
        assert session.metadata.processing_time is not None
        assert session.progress[-1].seconds == pytest.approx(
            session.metadata.processing_time, abs=1
        )

    on(url, work)


def test_another_tenants_recording_is_not_found(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        assert await IngestRecord(database).find("other", RECORDING) is None
        assert await IngestRecord(database).find("default", UUID(int=1)) is None

    on(url, work)


def test_a_recording_is_accepted_whole_or_not_at_all(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        with pytest.raises(UniqueViolation):
            await accept(database)
        assert len((await found(database)).progress) == 1

    on(url, work)
    assert rows(url, "SELECT count(*) FROM pocwhisp.recordings") == [(1,)]


# --- stages


def test_a_first_stage_takes_the_run_out_of_the_queue(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        await PostgresRecord(database).reach(was_split(), "split")
        session = await found(database)
        assert session.status == "processing"
        assert [(stage.stage, stage.sequence) for stage in session.progress] == [
            ("received", 1),
            ("split", 2),
        ]

    on(url, work)


def test_many_stages_at_the_same_time_are_numbered_without_gaps(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        record = PostgresRecord(database)
        reaching = [record.reach(was_split(), f"stage{number % 20}") for number in range(60)]
        reaching += [record.reach(transcribed(side), "transcribe") for side in ("left", "right")]
        await asyncio.gather(*reaching)
        progress = (await found(database)).progress
        assert [stage.sequence for stage in progress] == list(range(1, 24))
        assert len({(stage.stage, stage.channel) for stage in progress}) == 23
        assert [stage.at for stage in progress] == sorted(stage.at for stage in progress)

    on(url, work)


def test_recordings_are_numbered_each_for_itself(url: str) -> None:
    others = [UUID(int=number) for number in range(1, 9)]

    async def work(database: Database) -> None:
        await accept(database, *others)
        record = PostgresRecord(database)
        await asyncio.gather(*(record.reach(was_split(other), "split") for other in others))
        for other in others:
            assert [stage.sequence for stage in (await found(database, other)).progress] == [1, 2]

    on(url, work)


def test_a_stage_is_timed_when_its_turn_comes(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        async with database.transaction() as other:
            await other.execute("SELECT 1 FROM recordings FOR UPDATE")
            reaching = asyncio.ensure_future(PostgresRecord(database).reach(was_split(), "split"))
            await lock_waits(url, 1)
            row = await (await other.execute("SELECT clock_timestamp() AS now")).fetchone()
        await reaching
        assert row is not None
        assert (await found(database)).progress[-1].at > row["now"]

    on(url, work)


def test_an_early_event_after_the_last_one_moves_nothing_back(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        assert await complete(database)
        before = await found(database)
        await PostgresRecord(database).reach(was_split(), "split")
        await PostgresRecord(database).reach(merged(), "merge")
        after = await found(database)
        assert after.status == "completed"
        assert after.metadata == before.metadata
        assert [stage.stage for stage in after.progress] == [
            "received",
            "summarize",
            "completed",
            "split",
            "merge",
        ]

    on(url, work)


def test_a_stage_of_an_unknown_run_is_forgotten(url: str) -> None:
    async def work(database: Database) -> None:
        record = PostgresRecord(database)
        await record.reach(was_split(), "split")
        await accept(database)
        await record.reach(was_split().model_copy(update={"run": 2}), "split")
        assert [stage.stage for stage in (await found(database)).progress] == ["received"]

    on(url, work)


# --- how a run ends


WORD = {"word", "start_time", "end_time", "confidence"}
SEGMENT = {"id", "speaker", "start_time", "end_time", "text", "confidence", "words"}
METADATA = {
    "duration",
    "processing_time",
    "channels",
    "sample_rate",
    "model_versions",
    "degraded",
}


def test_a_completed_recording_has_the_promised_body(url: str) -> None:
    bodies: list[dict[str, Any]] = []

    async def work(database: Database) -> None:
        await accept(database)
        assert await complete(database)
        bodies.append((await found(database)).model_dump(mode="json"))

    on(url, work)
    (body,) = bodies
    assert body.keys() >= {"session_id", "status", "transcript", "summary", "metadata"}
    assert (body["session_id"], body["status"]) == (str(RECORDING), "completed")
    first, second = body["transcript"]["segments"]
    assert first.keys() == SEGMENT
    assert (first["id"], first["speaker"], first["text"]) == ("s1", "left", "hello there")
    assert (second["id"], second["speaker"], second["start_time"]) == ("s2", "right", 1.0)
    assert [word.keys() == WORD for word in first["words"]] == [True, True]
    assert first["words"][1] == {
        "word": "there",
        "start_time": 0.5,
        "end_time": 1.0,
        "confidence": 0.5,
    }
    assert body["summary"] == {
        "text": "They greet.",
        "key_points": ["hello there"],
        "sentiment": "neutral",
    }
    assert body["metadata"].keys() >= METADATA
    assert body["metadata"]["model_versions"] == {
        "whisper": None,
        "llama": None,
        "recognizer": "test 1",
        "summarizer": "test 1",
    }
    assert body["metadata"]["degraded"] == ["recognizer:sphinx", "summarizer:test"]
    assert body["metadata"]["processing_time"] >= 0


def test_whisper_and_llama_are_named_where_they_ran(url: str) -> None:
    whisper = Engine(name="whisper-small", revision="1", digest="")
    llama = Engine(name="llama", revision="3", digest="")

    async def work(database: Database) -> None:
        await accept(database)
        heard = transcript().model_copy(update={"engine": whisper})
        told = summary().model_copy(update={"engine": llama})
        await PostgresRecord(database).complete(summarized(), heard, told)
        versions = (await found(database)).metadata.model_versions
        assert (versions.whisper, versions.llama) == ("whisper-small 1", "llama 3")

    on(url, work)


def test_an_empty_transcript_is_a_result(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        silent = transcript().model_copy(update={"segments": ()})
        assert await PostgresRecord(database).complete(summarized(), silent, summary())
        session = await found(database)
        assert session.transcript is not None
        assert session.transcript.segments == []

    on(url, work)


def test_completing_twice_changes_nothing(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        assert await complete(database)
        first = await found(database)
        assert await complete(database)
        assert await found(database) == first

    on(url, work)


def test_completing_many_times_at_once_writes_once(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        assert await asyncio.gather(*(complete(database) for _ in range(8))) == [True] * 8
        session = await found(database)
        assert session.transcript is not None
        assert len(session.transcript.segments) == 2

    on(url, work)


def test_a_result_that_cannot_be_written_whole_is_not_written(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        before = await found(database)
        with pytest.raises(UniqueViolation):
            await PostgresRecord(database).complete(summarized(), transcript("s1", "s1"), summary())
        assert await found(database) == before

    on(url, work)
    assert rows(url, "SELECT count(*) FROM pocwhisp.segments") == [(0,)]


def test_a_failed_run_tells_why_and_keeps_its_transcript(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        record = PostgresRecord(database)
        for _ in range(2):
            assert await record.fail(parked(), transcript(degraded=("recognizer:sphinx",)))
        session = await found(database)
        assert session.status == "failed"
        assert session.error is not None
        assert (session.error.error, session.error.function) == ("invalid_audio", "transcribe")
        assert session.transcript is not None
        assert len(session.transcript.segments) == 2
        assert session.metadata.degraded == ["recognizer:sphinx"]
        assert session.progress[-1].stage == "failed"

    on(url, work)


def test_a_failed_run_may_have_no_transcript(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        assert await PostgresRecord(database).fail(parked(), None)
        assert (await found(database)).transcript is None

    on(url, work)


def test_how_a_run_ended_is_not_changed_any_more(url: str) -> None:
    other = UUID(int=1)

    async def work(database: Database) -> None:
        await accept(database, RECORDING, other)
        record = PostgresRecord(database)
        assert await complete(database)
        assert not await record.fail(parked(), None)
        assert (await found(database)).status == "completed"
        assert await record.fail(parked(other), None)
        assert not await record.complete(summarized(other), transcript(), summary())
        assert not await record.fail(parked(other, error_class="exhausted"), None)
        session = await found(database, other)
        assert (session.status, session.transcript, session.summary) == ("failed", None, None)

    on(url, work)


def test_a_run_that_is_not_on_record_cannot_end(url: str) -> None:
    async def work(database: Database) -> None:
        record = PostgresRecord(database)
        assert not await complete(database)
        assert not await record.fail(parked(), None)
        await accept(database)
        second = {"run": 2}
        assert not await record.complete(
            summarized().model_copy(update=second), transcript(), summary()
        )
        assert not await record.fail(parked().model_copy(update=second), None)
        assert (await found(database)).status == "queued"

    on(url, work)


def test_a_stage_and_the_end_at_the_same_time_do_not_block_each_other(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        record = PostgresRecord(database)
        async with database.transaction() as other:
            await other.execute("SELECT 1 FROM recordings FOR UPDATE")
            reaching = asyncio.ensure_future(record.reach(was_split(), "split"))
            await lock_waits(url, 1)
            failing = asyncio.ensure_future(record.fail(parked(), None))
            await lock_waits(url, 2)
        await reaching
        assert await failing
        assert (await found(database)).status == "failed"

    on(url, work)


# --- what the sweep looks after


async def swept(database: Database, before: datetime = LATE, limit: int = 100) -> list[Unannounced]:
    async with unfinished(database) as runs:
        assert runs is not None
        return list(await runs.unannounced(before, limit))


def prepared(url: str, *recordings: UUID, end: Callable[[Database], Awaitable[object]]) -> None:
    """Accept the recordings and bring them to an end, as the app does."""

    async def work(database: Database) -> None:
        await accept(database, *recordings)
        await end(database)

    on(url, work)


async def nothing(_: Database) -> None:
    """Leave the run under way."""


def outcome(database: Database) -> Awaitable[object]:
    return PostgresRecord(database).fail(parked(), None)


EXPECTED: list[tuple[Callable[[Database], Awaitable[object]], Event]] = [
    (nothing, received()),
    (
        complete,
        RecordingCompleted(
            tenant="default",
            recording=RECORDING,
            run=1,
            transcript=summarized().transcript,
            summary=summarized().summary,
            request=received().request,
            duration=2.0,
            segments=2,
            degraded=("recognizer:sphinx", "summarizer:test"),
        ),
    ),
    (
        outcome,
        RecordingFailed(
            tenant="default",
            recording=RECORDING,
            run=1,
            function="transcribe",
            error_class="permanent",
            error_code="invalid_audio",
        ),
    ),
]


@pytest.mark.parametrize(("end", "event"), EXPECTED)
def test_the_sweep_gets_the_event_that_the_run_should_have_had(
    url: str, end: Callable[[Database], Awaitable[object]], event: Event
) -> None:
    async def work(database: Database) -> None:
        assert await swept(database) == [Unannounced(event, redrives=0)]  # type: ignore[arg-type]

    prepared(url, end=end)
    on(url, work, role="pocwhisp_system")


def test_a_run_is_left_alone_until_it_has_waited(url: str) -> None:
    async def work(database: Database) -> None:
        assert await swept(database, EARLY) == []
        assert len(await swept(database)) == 1
        just_now = datetime.now(UTC) - timedelta(minutes=1)
        assert await swept(database, just_now) == []

    prepared(url, end=nothing)
    on(url, work, role="pocwhisp_system")


def test_those_that_waited_longest_come_first(url: str) -> None:
    recordings = [UUID(int=number) for number in range(1, 6)]

    async def work(database: Database) -> None:
        looks = [{run.event.recording for run in await swept(database, limit=2)} for _ in range(3)]
        assert looks[:2] == [set(recordings[:2]), set(recordings[2:4])]
        assert recordings[4] in looks[2]

    prepared(url, *recordings, end=nothing)
    on(url, work, role="pocwhisp_system")


def test_a_second_sweep_at_the_same_time_has_nothing_to_do(url: str) -> None:
    async def work(database: Database) -> None:
        async with unfinished(database) as first, unfinished(database) as second:
            assert first is not None
            assert second is None
        async with unfinished(database) as third:
            assert third is not None

    on(url, work, role="pocwhisp_system")


def test_what_was_announced_is_not_looked_at_again(url: str) -> None:
    async def work(database: Database) -> None:
        async with unfinished(database) as runs:
            assert runs is not None
            (run,) = await runs.unannounced(LATE, 100)
            await runs.announced(run)
        assert await swept(database) == []

    prepared(url, end=complete)
    on(url, work, role="pocwhisp_system")


def test_redrives_are_counted_unless_the_sweep_fails(url: str) -> None:
    async def sweep(database: Database, error: Exception | None) -> None:
        async with unfinished(database) as runs:
            assert runs is not None
            (run,) = await runs.unannounced(LATE, 100)
            await runs.redriven(run)
            if error is not None:
                raise error

    async def work(database: Database) -> None:
        await sweep(database, None)
        with pytest.raises(Unavailable):
            await sweep(database, Unavailable("The broker is away."))
        assert [run.redrives for run in await swept(database)] == [1]

    prepared(url, end=nothing)
    on(url, work, role="pocwhisp_system")


def test_a_cancelled_run_is_left_alone(url: str) -> None:
    async def cancel(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute("UPDATE runs SET state = 'cancelled'")

    async def work(database: Database) -> None:
        assert await swept(database) == []

    prepared(url, end=cancel)
    on(url, work, role="pocwhisp_system")


# --- without the database


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds until a database counts as away, fewer than usual."""
    assert shared.database.ACQUIRE_TIMEOUT <= 5
    monkeypatch.setattr(shared.database, "ACQUIRE_TIMEOUT", 1.0)
    return 1.0


def test_a_database_that_is_away_is_unavailable_soon_and_recovers(
    databases: "Databases", url: str, impatient: float
) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        await asyncio.to_thread(databases.stop)
        try:
            for _ in range(4):
                started = time.monotonic()
                with pytest.raises(Unavailable):
                    await found(database)
                assert time.monotonic() - started < 3 * impatient
        finally:
            await asyncio.to_thread(databases.start)
        await eventually(database.check, 4 * impatient)
        assert (await found(database)).status == "queued"

    on(url, work, size=2)


def test_a_database_that_goes_away_in_a_transaction_is_unavailable(
    databases: "Databases", url: str
) -> None:
    async def look_while_it_stops(database: Database) -> None:
        async with database.transaction() as connection:
            await asyncio.to_thread(databases.stop)
            await connection.execute("SELECT 1")

    async def work(database: Database) -> None:
        try:
            with pytest.raises(Unavailable):
                await look_while_it_stops(database)
        finally:
            await asyncio.to_thread(databases.start)
        await eventually(database.check, 20)

    on(url, work, size=2)


@pytest.mark.usefixtures("impatient")
def test_a_function_starts_although_the_database_is_away(databases: "Databases", url: str) -> None:
    async def work(database: Database) -> None:
        try:
            with pytest.raises(Unavailable):
                await database.check()
        finally:
            await asyncio.to_thread(databases.start)
        await eventually(database.check, 20)

    databases.stop()
    on(url, work, size=2)
