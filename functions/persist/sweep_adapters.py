"""The runs that the sweep examines, on PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime

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
from events.base import RunFields
from events.keys import RecordingKey
from functions.persist.record import OpenRun
from shared.record import outbox
from shared.record.database import Database

STAGE_EVENTS: Mapping[str, type[Event]] = {
    "split": RecordingSplit,
    "transcribe": ChannelTranscribed,
    "merge": TranscriptMerged,
    "summarize": TranscriptSummarized,
}
"""The events of stages by the stage's name, in the order of the pipeline."""
END_EVENTS: Mapping[str, type[Event]] = {"completed": RecordingCompleted, "failed": RecordingFailed}
logger = structlog.get_logger()


class PostgresOpenRuns:
    """`record.OpenRuns` in two short transactions: no row stays locked in between."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, before: datetime, limit: int) -> Sequence[OpenRun]:
        async with self._database.transaction() as connection:
            claimed = await outbox.claim(connection, before, limit)
        runs = [_open_run(run) for run in claimed]
        return [run for run in runs if run is not None]

    async def save(self, runs: Sequence[OpenRun]) -> None:
        if not runs:
            return
        async with self._database.transaction() as connection:
            await outbox.save(connection, [_outcome(run) for run in runs])


def _outcome(run: OpenRun) -> outbox.Outcome:
    event = run.events[0]
    return outbox.Outcome(
        event.recording, event.run, run.redrives, run.held_since, announced=run.announced
    )


def _open_run(run: outbox.Run) -> OpenRun | None:
    try:
        return OpenRun(
            events=_events(run),
            reached_at=max([run.created_at, *(stage.reached_at for stage in run.reached)]),
            ended=END_EVENTS.get(run.state),
            redrives=run.redrives,
            held_since=run.held_since,
            traceparent=run.traceparent,
        )
    except ValidationError:  # one bad row must not stop the sweep of all others
        logger.exception("unsweepable", recording=str(run.recording), run=run.run)
        return None


def _events(run: outbox.Run) -> tuple[Event, ...]:
    """Return the events on record, or the one that announces the end, if it can be rebuilt."""
    same_run = RunFields(tenant=run.tenant, recording=run.recording, run=run.run)
    if run.state == "failed":
        return (RecordingFailed(**same_run, **(run.failure or {})),)
    reached = [
        model.model_validate(stage.event)
        for name, model in STAGE_EVENTS.items()
        for stage in run.reached
        if stage.stage == name and stage.event is not None
    ]
    latest = reached[-1] if reached else None
    if run.state == "completed" and isinstance(latest, TranscriptSummarized):
        return (RecordingCompleted.of(latest, run.degraded),)
    return (_received(run), *reached)


def _received(run: outbox.Run) -> RecordingReceived:
    return RecordingReceived.of(
        RecordingKey(run.tenant, run.recording),
        run.run,
        files=run.files,
        duration=run.duration,
        sha256=run.sha256,
    )
