"""ingest's side of the record, on PostgreSQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow

from events import RecordingReceived
from functions.ingest.upload import Audio
from functions.ingest.views import (
    Failure,
    Metadata,
    ModelVersions,
    Session,
    Stage,
    SummaryView,
    TranscriptView,
)
from shared.database import Connection, Database, reach_stage


class PostgresRecord:
    """`handler.Record` in the tables that persist's migrations make."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, received: RecordingReceived, audio: Audio, age: float) -> None:
        facts = {
            **received.model_dump(include={"tenant", "recording", "run", "duration"}),
            "file_name": audio.file_name,
            "bytes": audio.size,
            "sha256": audio.sha256,
            "channels": audio.audio.channels,
            "sample_rate": audio.audio.sample_rate,
            "age": age,
        }
        async with self._database.transaction() as connection:
            await connection.execute(ADD_RECORDING, facts)
            await connection.execute(ADD_RUN, facts)
            await reach_stage(connection, received.recording, received.run, "received")

    async def find(self, tenant: str, recording: UUID) -> Session | None:
        async with self._database.transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            run = await _latest_run(connection, tenant, recording)
            if run is None:
                return None
            place = {"recording": recording, "run": run["run"]}
            stages = await (await connection.execute(STAGES, place)).fetchall()
            segments = await (await connection.execute(SEGMENTS, place)).fetchall()
            summary = await (await connection.execute(SUMMARY, place)).fetchone()
        return _session(run, stages, segments, summary)


ADD_RECORDING = """
    INSERT INTO recordings (id, tenant, created_at, file_name, bytes, sha256,
                            duration, channels, sample_rate)
    VALUES (%(recording)s, %(tenant)s, clock_timestamp() - make_interval(secs => %(age)s),
            %(file_name)s, %(bytes)s, %(sha256)s, %(duration)s, %(channels)s, %(sample_rate)s)
"""
ADD_RUN = """
    INSERT INTO runs (recording, run, tenant) VALUES (%(recording)s, %(run)s, %(tenant)s)
"""
LATEST_RUN = """
    SELECT recordings.*, runs.run, runs.state, runs.finished_at, runs.recognizer, runs.degraded,
           runs.failure
    FROM recordings JOIN runs ON runs.recording = recordings.id
    WHERE recordings.tenant = %(tenant)s AND recordings.id = %(recording)s
    ORDER BY runs.run DESC LIMIT 1
"""
STAGES = """
    SELECT stage, nullif(channel, '') AS channel, sequence, reached_at AS at
    FROM stages WHERE recording = %(recording)s AND run = %(run)s ORDER BY sequence
"""
SEGMENTS = """
    SELECT id, speaker, start_time, end_time, text, confidence, words
    FROM segments WHERE recording = %(recording)s AND run = %(run)s ORDER BY position
"""
SUMMARY = """
    SELECT text, key_points, sentiment, engine
    FROM summaries WHERE recording = %(recording)s AND run = %(run)s
"""


async def _latest_run(connection: Connection, tenant: str, recording: UUID) -> DictRow | None:
    found = await connection.execute(LATEST_RUN, {"tenant": tenant, "recording": recording})
    return await found.fetchone()


def _session(
    run: DictRow, stages: Sequence[DictRow], segments: Sequence[DictRow], summary: DictRow | None
) -> Session:
    has_transcript = run["recognizer"] is not None
    return Session(
        session_id=run["id"],
        status=run["state"],
        check_url=f"/api/v1/transcribe/{run['id']}",
        progress=[_stage(run, stage) for stage in stages],
        transcript=TranscriptView.model_validate({"segments": segments})
        if has_transcript
        else None,
        summary=SummaryView.model_validate(summary) if summary else None,
        metadata=_metadata(run, summary),
        error=_failure(run["failure"]),
    )


def _stage(run: DictRow, stage: DictRow) -> Stage:
    seconds = (stage["at"] - run["created_at"]).total_seconds()
    return Stage.model_validate({**stage, "seconds": round(seconds, 3)})


def _metadata(run: DictRow, summary: DictRow | None) -> Metadata:
    finished = run["finished_at"]
    took = (finished - run["created_at"]).total_seconds() if finished else None
    return Metadata(
        duration=run["duration"],
        processing_time=None if took is None else round(took, 3),
        channels=run["channels"],
        sample_rate=run["sample_rate"],
        model_versions=_model_versions(run["recognizer"], summary and summary["engine"]),
        degraded=run["degraded"],
        file_name=run["file_name"],
        run=run["run"],
        created_at=run["created_at"],
    )


def _model_versions(
    recognizer: dict[str, str] | None, summarizer: dict[str, str] | None
) -> ModelVersions:
    heard, gist = _engine_name(recognizer), _engine_name(summarizer)
    return ModelVersions(
        whisper=heard if heard and heard.startswith("whisper") else None,
        llama=gist if gist and gist.startswith("llama") else None,
        recognizer=heard,
        summarizer=gist,
    )


def _engine_name(engine: dict[str, str] | None) -> str | None:
    return f"{engine['name']} {engine['revision']}" if engine else None


def _failure(failure: dict[str, Any] | None) -> Failure | None:
    if failure is None:
        return None
    function, code = failure["function"], failure["error_code"]
    attempts = failure["attempts"]
    tried = "it cannot succeed" if failure["error_class"] == "permanent" else "it was retried"
    return Failure(
        error=code,
        message=f"{function} gave up after {attempts} attempt(s): {code}; {tried}.",
        function=function,
    )
