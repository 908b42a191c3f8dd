"""The record on PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime

from events import DeliveryParked, Event, RecordingSplit, TranscriptSummarized
from events.documents import Levels, Summary, Transcript
from functions.persist.handler import all_degraded
from shared.record import recordings, results, runs, stages, totals
from shared.record.connection import Connection
from shared.record.database import Database
from shared.record.runs import RunEnding, RunFailure
from shared.record.totals import DeliveryOutcome


class PostgresRecordWriter:
    """`record.RecordWriter` on `shared.record`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reach(self, event: Event, stage: str, at: datetime | None = None) -> None:
        async with self._database.transaction(event.tenant) as connection:
            if await stages.reach(connection, event, stage, at):
                await _begin(connection, event, stage)

    async def describe(
        self, event: RecordingSplit, levels: Levels, at: datetime | None = None
    ) -> None:
        async with self._database.transaction(event.tenant) as connection:
            if await stages.reach(connection, event, "split", at):
                await recordings.describe(connection, event.recording, levels)
                await results.write_results(connection, event, levels)
                await _begin(connection, event, "split")

    async def complete(
        self,
        event: TranscriptSummarized,
        transcript: Transcript,
        summary: Summary | None,
        at: datetime | None = None,
    ) -> bool:
        degraded = all_degraded(transcript, summary)
        ending = RunEnding("completed", degraded, transcript=transcript, summary=summary)
        return await self._complete(event, ending, at, "delivered")

    async def complete_without_summary(
        self,
        event: TranscriptSummarized,
        transcript: Transcript,
        degraded: Sequence[str],
        at: datetime | None = None,
    ) -> bool:
        ending = RunEnding("completed", degraded, transcript=transcript)
        return await self._complete(event, ending, at, "parked")

    async def _complete(
        self,
        event: TranscriptSummarized,
        ending: RunEnding,
        at: datetime | None,
        outcome: DeliveryOutcome,
    ) -> bool:
        async with self._database.transaction(event.tenant) as connection:
            changes: totals.Changes = {}
            if await stages.reach(connection, event, "summarize", at):
                await recordings.ensure_duration(connection, event.recording, event.duration)
                changes = totals.stage_changes("summarize", outcome)
            return await _end(connection, event, ending, changes)

    async def fail(self, event: DeliveryParked, transcript: Transcript | None) -> bool:
        degraded = transcript.degraded if transcript else ()
        ending = RunEnding("failed", degraded, RunFailure.of(event), transcript)
        async with self._database.transaction(event.tenant) as connection:
            return await _end(connection, event, ending, {})


async def _begin(connection: Connection, event: Event, stage: str) -> None:
    """Count the new stage, last of all: totals stay locked until the transaction ends."""
    await runs.begin(connection, event)
    await totals.increase(connection, totals.stage_changes(stage))


async def _end(
    connection: Connection, event: Event, ending: RunEnding, changes: totals.Changes
) -> bool:
    """End the run with its result. Returns whether it has ended so, now or before.

    `changes` are added to the totals together with those of the end, once the result is written.
    """
    if not await runs.is_under_way(connection, event):
        await totals.increase(connection, changes)
        return await runs.has_ended_as(connection, event, ending)
    await results.write_results(connection, event, ending.transcript, ending.summary)
    ended = await runs.end(connection, event, ending)
    await stages.reach(connection, event, ending.state, ended.finished_at)
    reached = await stages.fetch_stages(connection, event.recording, event.run)
    of_run = totals.run_changes(ending, ended, reached)
    await totals.increase(connection, {**changes, **of_run})
    return True
