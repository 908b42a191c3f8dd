"""The runs that the sweep examines, on PostgreSQL."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

import structlog
from pydantic import ValidationError

from events import (
    ChannelTranscribed,
    Event,
    RecordingCompleted,
    RecordingFailed,
    RecordingReceived,
    RecordingSplit,
    TranscriptMerged,
    TranscriptSummarized,
)
from events.keys import RecordingKey
from functions.persist.record import UnannouncedRun
from shared.record.database import Connection, Database

STAGE_EVENTS: Mapping[str, type[Event]] = {
    "split": RecordingSplit,
    "transcribe": ChannelTranscribed,
    "merge": TranscriptMerged,
    "summarize": TranscriptSummarized,
}
"""The events of stages by the stage's name, in the order of the pipeline."""
END_EVENTS: Mapping[str, type[Event]] = {"completed": RecordingCompleted, "failed": RecordingFailed}
CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT recording, run FROM runs
        WHERE announced_at IS NULL AND state <> 'cancelled'
          AND coalesce(swept_at, created_at) < %s
        ORDER BY coalesce(swept_at, created_at) LIMIT %s
        FOR UPDATE SKIP LOCKED
    )
    UPDATE runs SET swept_at = now()
    FROM due, recordings
    WHERE (runs.recording, runs.run) = (due.recording, due.run) AND recordings.id = runs.recording
    RETURNING runs.recording, runs.run, runs.tenant, runs.state, runs.created_at, runs.redrives,
              runs.held_since, runs.traceparent, runs.degraded, runs.failure,
              recordings.duration, recordings.files
"""
STAGES = """
    SELECT recording, run, stage, reached_at, event FROM stages WHERE recording = ANY(%s)
"""
SAVE = """
    UPDATE runs SET redrives = %s, held_since = %s,
           announced_at = CASE WHEN %s THEN now() ELSE announced_at END
    WHERE recording = %s AND run = %s
"""
logger = structlog.get_logger()


class PostgresUnannouncedRuns:
    """`record.UnannouncedRuns` in two short transactions: no row stays locked in between."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, before: datetime, limit: int) -> Sequence[UnannouncedRun]:
        async with self._database.transaction() as connection:
            claimed = await (await connection.execute(CLAIM, [before, limit])).fetchall()
            stages = await _stages(connection, {row["recording"] for row in claimed})
        runs = [_unannounced(row, stages[row["recording"], row["run"]]) for row in claimed]
        return [run for run in runs if run is not None]

    async def save(self, runs: Sequence[UnannouncedRun]) -> None:
        if not runs:
            return
        async with self._database.transaction() as connection, connection.cursor() as cursor:
            await cursor.executemany(
                SAVE, sorted((_row(run) for run in runs), key=itemgetter(3, 4))
            )


async def _stages(
    connection: Connection, recordings: Iterable[UUID]
) -> Mapping[tuple[UUID, int], list[dict[str, Any]]]:
    """Return the stages that each run of the recordings has reached."""
    stages: dict[tuple[UUID, int], list[dict[str, Any]]] = defaultdict(list)
    for row in await (await connection.execute(STAGES, [list(recordings)])).fetchall():
        stages[row["recording"], row["run"]].append(row)
    return stages


def _row(run: UnannouncedRun) -> tuple[int, datetime | None, bool, UUID, int]:
    event = run.events[0]
    return run.redrives, run.held_since, run.announced, event.recording, event.run


def _unannounced(row: Mapping[str, Any], stages: list[dict[str, Any]]) -> UnannouncedRun | None:
    try:
        return UnannouncedRun(
            events=_events(row, stages),
            reached_at=max([row["created_at"], *(stage["reached_at"] for stage in stages)]),
            ended=END_EVENTS.get(row["state"]),
            redrives=row["redrives"],
            held_since=row["held_since"],
            traceparent=row["traceparent"],
        )
    except ValidationError:  # one bad row must not stop the sweep of all others
        logger.exception("unsweepable", recording=str(row["recording"]), run=row["run"])
        return None


def _events(row: Mapping[str, Any], stages: list[dict[str, Any]]) -> tuple[Event, ...]:
    """Return the events on record, or the one that announces the end, if it can be rebuilt."""
    recording = RecordingKey(row["tenant"], row["recording"])
    same_run = {name: row[name] for name in ("tenant", "recording", "run")}
    if row["state"] == "failed":
        return (RecordingFailed(**same_run, **row["failure"]),)
    reached = [
        model.model_validate(stage["event"])
        for name, model in STAGE_EVENTS.items()
        for stage in stages
        if stage["stage"] == name and stage["event"] is not None
    ]
    latest = reached[-1] if reached else None
    if row["state"] == "completed" and isinstance(latest, TranscriptSummarized):
        return (_completed(latest, row["degraded"]),)
    received = RecordingReceived(
        **same_run,
        duration=row["duration"],
        audio=recording.audio,
        audio_right=recording.audio_right if row["files"] > 1 else None,
        request=recording.request,
    )
    return (received, *reached)


def _completed(summarized: TranscriptSummarized, degraded: Sequence[str]) -> RecordingCompleted:
    return RecordingCompleted(
        **summarized.same_run,
        transcript=summarized.transcript,
        summary=summarized.summary,
        request=summarized.recording_key.request,
        duration=summarized.duration,
        segments=summarized.segments,
        degraded=tuple(degraded),
    )
