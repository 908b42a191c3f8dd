"""ingest's port to the record: the rows of `shared.record` as the API's views."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from events import RecordingReceived
from events.base import RunState
from events.documents import Engine, Request
from functions.ingest.echo_warnings import echo_warnings
from functions.ingest.http.paging import encode_cursor
from functions.ingest.metrics import Histogram, SystemMetrics
from functions.ingest.views import (
    Engines,
    Failure,
    Metadata,
    ModelVersions,
    Page,
    Pagination,
    RecordingFacts,
    RecordingSummary,
    RequestView,
    Session,
    Stage,
    SummaryView,
    TranscriptView,
)
from shared.record import recordings, results, runs, stages, totals
from shared.record.database import Database
from shared.record.recordings import RecordingRow
from shared.record.results import Results
from shared.record.totals import Totals
from shared.recording import Position, UploadedAudio

ERROR_EXPLANATIONS = {
    "engines_differ": "the channels were recognised by different engines",
    "unsupported_language": "the model that runs does not know the language",
    "unsupported_task": "the model that runs has not learnt the task",
}
"""Explanations of errors that somebody can mend; events carry only their codes."""


class PostgresRecord:
    """`ports.Record` on `shared.record`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(
        self,
        received: RecordingReceived,
        audio: UploadedAudio,
        request: Request,
        age: float,
        traceparent: str | None = None,
    ) -> None:
        async with self._database.transaction(received.tenant) as connection:
            await recordings.insert_recording(connection, received, audio, request, age)
            await runs.enqueue(connection, received, age, traceparent)
            await stages.reach(connection, received, "received")

    async def find(self, tenant: str, recording: UUID) -> Session | None:
        async with self._database.transaction(tenant, snapshot=True) as connection:
            found = await recordings.fetch_recording(connection, tenant, recording)
            if found is None:
                return None
            reached = await stages.fetch_stages(connection, recording, found.run)
            made = await results.fetch_results(connection, recording, found.run)
        return _session(found, reached, made)

    async def state(self, tenant: str, recording: UUID) -> RunState | None:
        async with self._database.transaction(tenant) as connection:
            return await recordings.fetch_state(connection, tenant, recording)

    async def page(
        self,
        tenant: str,
        state: RunState | None,
        limit: int,
        offset: int,
        start: Position | None = None,
    ) -> Page:
        async with self._database.transaction(tenant, snapshot=True) as connection:
            page = await recordings.fetch_page(connection, tenant, state, limit, start or offset)
            total = await totals.count_recordings(connection, tenant, state)
        return Page(
            sessions=[_listed(recording) for recording in page.recordings],
            pagination=Pagination(
                limit=limit,
                offset=offset,
                total=total,
                next_cursor=_cursor(page.next),
                prev_cursor=_cursor(page.previous),
            ),
        )

    async def engines(self, tenant: str) -> Engines:
        async with self._database.transaction(tenant) as connection:
            last = await runs.last_engines(connection, tenant)
        return Engines(
            recognizer=_engine_name(last.recognizer), summarizer=_engine_name(last.summarizer)
        )

    async def metrics(self) -> SystemMetrics:
        async with self._database.transaction(snapshot=True) as connection:
            sums = await totals.system_totals(connection)
            factor = await runs.recent_factor(connection)
        return _metrics(sums, factor)


def _cursor(position: Position | None) -> str | None:
    return None if position is None else encode_cursor(position)


def _session(found: RecordingRow, reached: Sequence[stages.ReachedStage], made: Results) -> Session:
    transcript, summary = made.transcript, made.summary
    return Session(
        session_id=found.id,
        status=found.state,
        check_url=_check_url(found),
        progress=[_stage(found, stage) for stage in reached],
        transcript=TranscriptView(segments=list(transcript.segments)) if transcript else None,
        summary=SummaryView.model_validate(summary, from_attributes=True) if summary else None,
        metadata=_metadata(found, made),
        request=RequestView.model_validate(found.request),
        error=_failure(found.failure),
    )


def _stage(found: RecordingRow, stage: stages.ReachedStage) -> Stage:
    seconds = (stage.reached_at - found.began_at).total_seconds()
    return Stage(
        stage=stage.stage,
        channel=stage.channel or None,
        sequence=stage.sequence,
        at=stage.reached_at,
        seconds=round(seconds, 3),
    )


def _properties(found: RecordingRow) -> dict[str, Any]:
    finished = found.finished_at
    took = (finished - found.began_at).total_seconds() if finished else None
    return {**asdict(found), "processing_time": None if took is None else round(took, 3)}


def _listed(found: RecordingRow) -> RecordingSummary:
    return RecordingSummary(
        session_id=found.id,
        status=found.state,
        check_url=_check_url(found),
        metadata=RecordingFacts.model_validate(_properties(found)),
        request=RequestView.model_validate(found.request),
    )


def _metadata(found: RecordingRow, made: Results) -> Metadata:
    levels, transcript = made.levels, made.transcript
    echoes = transcript.echoes if transcript else ()
    measured = {
        "levels": levels.levels if levels else (),
        "quality": levels and levels.quality,
        "languages": transcript.languages if transcript else (),
        "echoes": echoes,
        "warnings": [*(levels.warnings if levels else ()), *echo_warnings(echoes)],
        "model_versions": _model_versions(made),
    }
    return Metadata.model_validate({**_properties(found), **measured})


def _check_url(found: RecordingRow) -> str:
    return f"/api/v1/transcribe/{found.id}"


def _model_versions(made: Results) -> ModelVersions:
    recognizer = str(made.transcript.engine) if made.transcript else None
    summarizer = str(made.summary.engine) if made.summary else None
    return ModelVersions(
        whisper=recognizer if recognizer and recognizer.startswith("whisper") else None,
        llama=summarizer if summarizer and summarizer.startswith("llama") else None,
        recognizer=recognizer,
        summarizer=summarizer,
    )


def _engine_name(engine: Mapping[str, Any] | None) -> str | None:
    """Return the engine's name and revision. Returns None if there is none that can be read."""
    try:
        return str(Engine.model_validate(engine))
    except ValidationError:
        return None


def _failure(failure: dict[str, Any] | None) -> Failure | None:
    if failure is None:
        return None
    function, code = failure["function"], failure["error_code"]
    attempts = failure["attempts"]
    tried = "it cannot succeed" if failure["error_class"] == "permanent" else "it was retried"
    why = f"{code}, {ERROR_EXPLANATIONS[code]}" if code in ERROR_EXPLANATIONS else code
    return Failure(
        error=code,
        message=f"{function} gave up after {attempts} attempt(s): {why}; {tried}.",
        function=function,
    )


def _metrics(sums: Totals, factor: float | None) -> SystemMetrics:
    counts = sums.labels("stage_seconds_count")
    return SystemMetrics(
        backlog=sums.labels("recordings"),
        ended=sums.labels("ended"),
        delivered={**sums.labels("delivered"), "persist": sums.value("ended", "completed")},
        parked=sums.labels("parked"),
        audio_seconds=sums.value("audio_seconds"),
        processing_seconds=sums.value("processing_seconds"),
        real_time_factor=factor,
        stages={stage: _histogram(sums, stage) for stage in counts},
    )


def _histogram(sums: Totals, stage: str) -> Histogram:
    limits = [f"{limit:g}" for limit in totals.BUCKETS]
    each = (sums.value("stage_seconds_bucket", f"{stage}/{limit}") for limit in limits)
    count = sums.value("stage_seconds_count", stage)
    return Histogram(
        buckets=[*zip(limits, accumulate(each), strict=True), ("+Inf", count)],
        total=sums.value("stage_seconds_sum", stage),
    )
