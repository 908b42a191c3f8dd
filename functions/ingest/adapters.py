"""ingest's side of the record, on PostgreSQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from events import RecordingReceived
from events.documents import Echo, Request
from functions.ingest import queries
from functions.ingest.echoes import echo_warnings
from functions.ingest.figures import Figures, StageTime
from functions.ingest.http.views import (
    Asked,
    Engines,
    Facts,
    Failure,
    Listed,
    Metadata,
    ModelVersions,
    Page,
    Pagination,
    Session,
    Stage,
    State,
    SummaryView,
    TranscriptView,
)
from functions.ingest.upload.upload import Audio
from shared.record.database import Connection, Database, reach_stage

MEANINGS = {
    "unsupported_language": "the model that runs does not know the language",
    "unsupported_task": "the model that runs has not learnt the task",
}
"""What the sender can mend, in words: events carry the codes of errors alone."""


class PostgresRecord:
    """`handler.Record` in the tables that persist's migrations make."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(
        self,
        received: RecordingReceived,
        audio: Audio,
        request: Request,
        age: float,
        traceparent: str | None = None,
    ) -> None:
        asked = request.model_dump(mode="json", exclude={"document"}, exclude_defaults=True)
        row = {
            **received.model_dump(include={"tenant", "recording", "run", "duration"}),
            "file_name": audio.file_name,
            "files": audio.files,
            "bytes": audio.size,
            "sha256": audio.sha256,
            "container": audio.container,
            "channels": audio.channels,
            "sample_rate": audio.sample_rate,
            "request": Jsonb(asked),
            "age": age,
            "traceparent": traceparent,
        }
        async with self._database.transaction() as connection:
            await connection.execute(queries.ADD_RECORDING, row)
            await connection.execute(queries.ADD_RUN, row)
            await reach_stage(connection, received, "received")

    async def find(self, tenant: str, recording: UUID) -> Session | None:
        async with self._database.transaction() as connection:
            await connection.execute(queries.ONE_SNAPSHOT)
            run = await _latest_run(connection, tenant, recording)
            if run is None:
                return None
            place = {"recording": recording, "run": run["run"]}
            stages = await (await connection.execute(queries.STAGES, place)).fetchall()
            segments = await (await connection.execute(queries.SEGMENTS, place)).fetchall()
            summary = await (await connection.execute(queries.SUMMARY, place)).fetchone()
        return _session(run, stages, segments, summary)

    async def page(self, tenant: str, state: State | None, limit: int, offset: int) -> Page:
        asked = {"tenant": tenant, "state": state, "limit": limit, "offset": offset}
        async with self._database.transaction() as connection:
            await connection.execute(queries.ONE_SNAPSHOT)
            rows = await (await connection.execute(queries.PAGE, asked)).fetchall()
            counted = await (await connection.execute(queries.COUNT, asked)).fetchone()
        total = counted["total"] if counted else 0
        return Page(
            sessions=[_listed(row) for row in rows],
            pagination=Pagination(limit=limit, offset=offset, total=total),
        )

    async def engines(self, tenant: str) -> Engines:
        async with self._database.transaction() as connection:
            found = await connection.execute(queries.LAST_ENGINES, {"tenant": tenant})
            row = await found.fetchone()
        if row is None:
            return Engines()
        return Engines(
            recognizer=_engine_name(row["recognizer"]), summarizer=_engine_name(row["summarizer"])
        )

    async def figures(self) -> Figures:
        async with self._database.transaction() as connection:
            states = await (await connection.execute(queries.STATES)).fetchall()
            stages = await (await connection.execute(queries.STAGE_COUNTS)).fetchall()
            parked = await (await connection.execute(queries.PARKED)).fetchall()
            times = await (await connection.execute(queries.STAGE_TIMES)).fetchall()
            work = await (await connection.execute(queries.WORK)).fetchone()
        return _figures(states, [*stages, *parked], times, work or {})


async def _latest_run(connection: Connection, tenant: str, recording: UUID) -> DictRow | None:
    found = await connection.execute(queries.LATEST_RUN, {"tenant": tenant, "recording": recording})
    return await found.fetchone()


def _session(
    run: DictRow, stages: Sequence[DictRow], segments: Sequence[DictRow], summary: DictRow | None
) -> Session:
    has_transcript = run["recognizer"] is not None
    return Session(
        session_id=run["id"],
        status=run["state"],
        check_url=_check_url(run),
        progress=[_stage(run, stage) for stage in stages],
        transcript=TranscriptView.model_validate({"segments": segments})
        if has_transcript
        else None,
        summary=SummaryView.model_validate(summary) if summary else None,
        metadata=_metadata(run, summary),
        request=Asked.model_validate(run["request"]),
        error=_failure(run["failure"]),
    )


def _stage(run: DictRow, stage: DictRow) -> Stage:
    seconds = (stage["at"] - run["created_at"]).total_seconds()
    return Stage.model_validate({**stage, "seconds": round(seconds, 3)})


def _facts(run: DictRow) -> dict[str, Any]:
    finished = run["finished_at"]
    took = (finished - run["created_at"]).total_seconds() if finished else None
    return {**run, "processing_time": None if took is None else round(took, 3)}


def _listed(run: DictRow) -> Listed:
    return Listed(
        session_id=run["id"],
        status=run["state"],
        check_url=_check_url(run),
        metadata=Facts.model_validate(_facts(run)),
        request=Asked.model_validate(run["request"]),
    )


def _metadata(run: DictRow, summary: DictRow | None) -> Metadata:
    echoes = [Echo.model_validate(echo) for echo in run["echoes"]]
    told = {
        "warnings": [*run["warnings"], *echo_warnings(echoes)],
        "echoes": echoes,
        "model_versions": _model_versions(run["recognizer"], summary and summary["engine"]),
    }
    return Metadata.model_validate({**_facts(run), **told})


def _check_url(run: DictRow) -> str:
    return f"/api/v1/transcribe/{run['id']}"


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
    why = f"{code}, {MEANINGS[code]}" if code in MEANINGS else code
    return Failure(
        error=code,
        message=f"{function} gave up after {attempts} attempt(s): {why}; {tried}.",
        function=function,
    )


def _figures(
    states: Sequence[DictRow],
    deliveries: Sequence[DictRow],
    times: Sequence[DictRow],
    work: DictRow,
) -> Figures:
    return Figures(
        runs={row["state"]: row["count"] for row in states},
        deliveries={(row["function"], row["outcome"]): row["count"] for row in deliveries},
        audio_seconds=work["audio"],
        processing_seconds=work["processing"],
        real_time_factor=work["factor"],
        stages=[StageTime(row["stage"], row["median"], row["p95"]) for row in times],
    )
