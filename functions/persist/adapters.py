"""The record on PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime

from events import DeliveryParked, Event, RecordingSplit, TranscriptSummarized
from events.documents import Levels, Summary, Transcript
from functions.persist.handler import all_degraded
from shared.record import recordings, results, runs, stages, totals
from shared.record.database import Connection, Database
from shared.record.runs import RunEnding, RunFailure
from shared.record.totals import DeliveryOutcome


class PostgresRecordWriter:
    """`record.RecordWriter` on `shared.record`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reach(self, event: Event, stage: str, at: datetime | None = None) -> None:
        async with self._database.transaction(event.tenant) as connection:
            await _reach(connection, event, stage, at)

    async def describe(
        self, event: RecordingSplit, levels: Levels, at: datetime | None = None
    ) -> None:
        async with self._database.transaction(event.tenant) as connection:
            if await _reach(connection, event, "split", at):
                await recordings.describe(connection, event.recording, levels)
                await results.write_results(connection, event, levels)

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
            if await _reach(connection, event, "summarize", at, outcome):
                await recordings.ensure_duration(connection, event.recording, event.duration)
            return await _end(connection, event, ending)

    async def fail(self, event: DeliveryParked, transcript: Transcript | None) -> bool:
        degraded = transcript.degraded if transcript else ()
        ending = RunEnding("failed", degraded, RunFailure.of(event), transcript)
        async with self._database.transaction(event.tenant) as connection:
            return await _end(connection, event, ending)


async def _reach(
    connection: Connection,
    event: Event,
    stage: str,
    at: datetime | None,
    outcome: DeliveryOutcome = "delivered",
) -> bool:
    news = await stages.reach(connection, event, stage, at)
    if news:
        await runs.begin(connection, event)
        await totals.increase(connection, totals.stage_changes(stage, outcome))
    return news


async def _end(connection: Connection, event: Event, ending: RunEnding) -> bool:
    """End the run with its result. Returns whether it has ended so, now or before."""
    ended = await runs.end(connection, event, ending)
    if ended is None:
        return await runs.has_ended_as(connection, event, ending)
    await results.write_results(connection, event, ending.transcript, ending.summary)
    await stages.reach(connection, event, ending.state, ended.finished_at)
    reached = await stages.fetch_stages(connection, event.recording, event.run)
    await totals.increase(connection, totals.run_changes(ending, ended, reached))
    return True
