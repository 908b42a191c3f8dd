"""What ingest and persist may rely on in the record."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg import DataError
from psycopg.errors import UniqueViolation

from events import Event
from events.documents import Document, Engine, Request
from functions.ingest.adapters import PostgresRecord as IngestRecord
from functions.ingest.views import Session
from functions.persist.adapters import PostgresRecordWriter
from shared.record import results
from shared.record.connection import Connection
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
from tests.support.records import (
    AUDIO,
    accept,
    complete,
    found,
    lock_waits,
    on,
    rows,
)

pytest_plugins = ["tests.support.databases"]


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
        assert await IngestRecord(database).state("other", RECORDING) is None
        assert await IngestRecord(database).state("default", RECORDING) == "queued"

    on(url, work)


def test_a_recording_is_accepted_whole_or_not_at_all(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        with pytest.raises(UniqueViolation):
            await accept(database)
        assert len((await found(database)).progress) == 1

    on(url, work)
    assert rows(url, "SELECT count(*) FROM pocwhisp.recordings") == [(1,)]


def test_a_first_stage_takes_the_run_out_of_the_queue(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        await PostgresRecordWriter(database).reach(was_split(), "split")
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
        record = PostgresRecordWriter(database)
        reaching = [record.reach(was_split(), f"stage{number % 20}") for number in range(60)]
        reaching += [record.reach(transcribed(side), "transcribe") for side in ("left", "right")]
        await asyncio.gather(*reaching)
        progress = (await found(database)).progress
        assert sorted(stage.sequence for stage in progress) == list(range(1, 24))
        assert len({(stage.stage, stage.channel) for stage in progress}) == 23

    on(url, work)


def test_recordings_are_numbered_each_for_itself(url: str) -> None:
    others = [UUID(int=number) for number in range(1, 9)]

    async def work(database: Database) -> None:
        await accept(database, *others)
        record = PostgresRecordWriter(database)
        await asyncio.gather(*(record.reach(was_split(other), "split") for other in others))
        for other in others:
            assert [stage.sequence for stage in (await found(database, other)).progress] == [1, 2]

    on(url, work)


def steps(session: Session) -> list[tuple[str, str | None]]:
    return [(stage.stage, stage.channel) for stage in session.progress]


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


WHOLE = [
    ("received", None),
    ("split", None),
    ("transcribe", "left"),
    ("transcribe", "right"),
    ("merge", None),
    ("summarize", None),
    ("completed", None),
]


def test_progress_is_in_the_order_of_the_pipeline_at_the_times_of_the_events(url: str) -> None:
    times = {name: later(number) for number, name in enumerate(("s", "l", "r", "m", "z"), start=-5)}

    async def work(database: Database) -> None:
        await accept(database)
        record = PostgresRecordWriter(database)
        await record.reach(transcribed("right"), "transcribe", times["r"])
        await record.reach(merged(), "merge", times["m"])
        await record.reach(transcribed("left"), "transcribe", times["l"])
        assert await record.complete(summarized(), transcript(), summary(), times["z"])
        await record.describe(was_split(), levels(), times["s"])
        session = await found(database)
        assert steps(session) == WHOLE
        assert [stage.at for stage in session.progress[1:-1]] == list(times.values())
        assert session.progress[-1].at > times["z"]
        assert sorted(stage.sequence for stage in session.progress) == list(range(1, 8))

    on(url, work)


def test_the_clock_of_another_machine_puts_nothing_into_the_future(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        record = PostgresRecordWriter(database)
        await record.describe(was_split(), levels(), later(7200))
        assert await record.complete(summarized(), transcript(), summary(), later(7200))
        session = await found(database)
        assert [stage.stage for stage in session.progress[1:]] == [
            "split",
            "summarize",
            "completed",
        ]
        assert max(stage.at for stage in session.progress) <= later(1)
        assert session.metadata.processing_time is not None
        assert session.metadata.processing_time < 60

    on(url, work)


def test_totals_are_locked_only_after_the_results_are_written(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks: list[int] = []
    write_results = results.write_results

    async def look(connection: Connection, event: Event, *documents: Document | None) -> None:
        held = await connection.execute(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        locks.append(held.rowcount)
        await write_results(connection, event, *documents)

    async def work(database: Database) -> None:
        await accept(database)
        await PostgresRecordWriter(database).describe(was_split(), levels())
        assert await complete(database)

    monkeypatch.setattr(results, "write_results", look)
    on(url, work)
    assert locks == [0, 0]


def test_a_late_stage_takes_its_place_before_the_end(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        assert await complete(database)
        before = await found(database)
        record = PostgresRecordWriter(database)
        await record.reach(was_split(), "split")
        await record.reach(merged(), "merge", later(-1))
        await record.reach(transcribed("left"), "transcribe", later(60))
        after = await found(database)
        assert after.status == "completed"
        assert after.metadata == before.metadata
        assert steps(after) == [step for step in WHOLE if step != ("transcribe", "right")]
        assert max(stage.at for stage in after.progress) == after.progress[-1].at
        assert [stage.sequence for stage in after.progress] == [1, 4, 6, 5, 2, 3]

    on(url, work)


def test_nothing_is_reached_after_a_run_has_failed(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        record = PostgresRecordWriter(database)
        earlier = datetime.now(UTC)
        assert await record.fail(parked(), None)
        await record.reach(transcribed("left"), "transcribe", later(60))
        await record.reach(merged(), "merge")
        await record.describe(was_split(), levels(), earlier)
        session = await found(database)
        assert steps(session) == [("received", None), ("split", None), ("failed", None)]
        assert session.status == "failed"

    on(url, work)


def test_a_stage_of_an_unknown_run_is_forgotten(url: str) -> None:
    async def work(database: Database) -> None:
        record = PostgresRecordWriter(database)
        await record.reach(was_split(), "split")
        await accept(database)
        await record.reach(was_split().model_copy(update={"run": 2}), "split")
        assert [stage.stage for stage in (await found(database)).progress] == ["received"]

    on(url, work)


WORD = {"word", "start_time", "end_time", "confidence"}
SEGMENT = {
    *("id", "speaker", "start_time", "end_time", "text", "confidence", "words"),
    *("mean_log_probability", "no_speech_probability", "overlaps", "backchannel"),
}
METADATA = {
    "duration",
    "processing_time",
    "channels",
    "sample_rate",
    "model_versions",
    "degraded",
    "warnings",
    "quality",
    "languages",
    "echoes",
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
        await PostgresRecordWriter(database).complete(summarized(), heard, told)
        versions = (await found(database)).metadata.model_versions
        assert (versions.whisper, versions.llama) == ("whisper-small 1", "llama 3")

    on(url, work)


def test_an_empty_transcript_is_a_result(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        silent = transcript().model_copy(update={"segments": ()})
        assert await PostgresRecordWriter(database).complete(summarized(), silent, summary())
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
    unwritable = summary().model_copy(update={"text": "no \0 in a database"})

    async def work(database: Database) -> None:
        await accept(database)
        before = await found(database)
        with pytest.raises(DataError):
            await PostgresRecordWriter(database).complete(summarized(), transcript(), unwritable)
        assert await found(database) == before

    on(url, work)
    assert rows(url, "SELECT count(*) FROM pocwhisp.documents") == [(0,)]


def test_a_failed_run_tells_why_and_keeps_its_transcript(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        record = PostgresRecordWriter(database)
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
        assert await PostgresRecordWriter(database).fail(parked(), None)
        assert (await found(database)).transcript is None

    on(url, work)


def test_how_a_run_ended_is_not_changed_any_more(url: str) -> None:
    other = UUID(int=1)

    async def work(database: Database) -> None:
        await accept(database, RECORDING, other)
        record = PostgresRecordWriter(database)
        assert await complete(database)
        assert not await record.fail(parked(), None)
        assert (await found(database)).status == "completed"
        assert await record.fail(parked(other), None)
        assert not await record.complete(summarized(other), transcript(), summary())
        assert not await record.fail(parked(other, error_class="exhausted"), None)
        session = await found(database, other)
        assert (session.status, session.transcript, session.summary) == ("failed", None, None)

    on(url, work)


def test_a_run_whose_summary_was_given_up_is_completed_with_the_transcript(url: str) -> None:
    without = summarized().model_copy(update={"summary": None})
    degraded = ("summarizer:none",)

    async def work(database: Database) -> None:
        await accept(database)
        record = PostgresRecordWriter(database)
        for _ in range(2):
            assert await record.complete_without_summary(without, transcript(), degraded)
        session = await found(database)
        assert (session.status, session.summary, session.error) == ("completed", None, None)
        assert await IngestRecord(database).state("default", RECORDING) == "completed"
        assert session.transcript is not None
        assert session.metadata.degraded == ["summarizer:none"]
        assert not await complete(database), "its event would promise a summary"
        assert (await found(database)).summary is None
        metrics = await IngestRecord(database).metrics()
        assert (metrics.parked, metrics.delivered) == ({"summarize": 1}, {"persist": 1})

    on(url, work)


def test_a_late_parked_summary_does_not_announce_a_completed_run_again(url: str) -> None:
    async def work(database: Database) -> None:
        await accept(database)
        assert await complete(database)
        without = summarized().model_copy(update={"summary": None})
        record = PostgresRecordWriter(database)
        assert not await record.complete_without_summary(without, transcript(), ["summarizer:none"])
        assert (await found(database)).summary is not None

    on(url, work)


def test_a_run_that_is_not_on_record_cannot_end(url: str) -> None:
    async def work(database: Database) -> None:
        record = PostgresRecordWriter(database)
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
        record = PostgresRecordWriter(database)
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
