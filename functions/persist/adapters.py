"""The record on PostgreSQL."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from psycopg.types.json import Jsonb

from events import DeliveryParked, Event, RecordingSplit, TranscriptSummarized
from events.documents import Levels, Summary, Transcript
from functions.persist.handler import all_degraded
from shared.record.database import Connection, Database, reach_stage


class PostgresRecord:
    """`record.Record` in the tables of the first migration."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reach(self, event: Event, stage: str) -> None:
        async with self._database.transaction() as connection:
            await _reach(connection, event, stage)

    async def describe(self, event: RecordingSplit, levels: Levels) -> None:
        async with self._database.transaction() as connection:
            if await _reach(connection, event, "split"):
                await _write_levels(connection, event, levels)

    async def complete(
        self, event: TranscriptSummarized, transcript: Transcript, summary: Summary | None
    ) -> bool:
        async with self._database.transaction() as connection:
            await reach_stage(connection, event, "summarize")
            if not await _end(connection, event, "completed", all_degraded(transcript, summary)):
                return await _state(connection, event) == {"state": "completed", "failure": None}
            await connection.execute(  # the news of the split may still be on its way
                "UPDATE recordings SET duration = coalesce(duration, %s) WHERE id = %s",
                [event.duration, event.recording],
            )
            await _write_transcript(connection, event, transcript)
            if summary is not None:
                await _write_summary(connection, event, summary)
            await reach_stage(connection, event, "completed")
            return True

    async def fail(self, event: DeliveryParked, transcript: Transcript | None) -> bool:
        failure = event.model_dump(include={"function", "error_class", "error_code", "attempts"})
        async with self._database.transaction() as connection:
            degraded = transcript.degraded if transcript else ()
            if not await _end(connection, event, "failed", degraded, failure):
                return await _state(connection, event) == {"state": "failed", "failure": failure}
            if transcript is not None:
                await _write_transcript(connection, event, transcript)
            await reach_stage(connection, event, "failed")
            return True


async def _reach(connection: Connection, event: Event, stage: str) -> bool:
    news = await reach_stage(connection, event, stage)
    if news:
        await connection.execute(
            """
            UPDATE runs SET state = 'processing'
            WHERE recording = %s AND run = %s AND state = 'queued'
            """,
            [event.recording, event.run],
        )
    return news


async def _write_levels(connection: Connection, event: Event, levels: Levels) -> None:
    facts = levels.model_dump(mode="json")
    await connection.execute(
        """
        UPDATE recordings SET duration = %(duration)s, channels = %(channels)s,
               sample_rate = %(sample_rate)s, container = %(container)s
        WHERE id = %(recording)s
        """,
        facts,
    )
    await connection.execute(
        """
        UPDATE runs SET warnings = %s, levels = %s, quality = %s WHERE recording = %s AND run = %s
        """,
        [
            Jsonb(facts["warnings"]),
            Jsonb(facts["levels"]),
            Jsonb(facts["quality"]) if levels.quality else None,
            event.recording,
            event.run,
        ],
    )


async def _end(
    connection: Connection,
    event: Event,
    state: str,
    degraded: tuple[str, ...],
    failure: Mapping[str, Any] | None = None,
) -> bool:
    # first the recording's row, as reach_stage does; the other order would be a deadlock
    await connection.execute("SELECT FROM recordings WHERE id = %s FOR UPDATE", [event.recording])
    ended = await connection.execute(
        """
        UPDATE runs SET state = %s, finished_at = clock_timestamp(), degraded = %s, failure = %s
        WHERE recording = %s AND run = %s AND state IN ('queued', 'processing')
        """,
        [
            state,
            list(degraded),
            Jsonb(failure) if failure else None,
            event.recording,
            event.run,
        ],
    )
    return ended.rowcount == 1


async def _state(connection: Connection, event: Event) -> dict[str, Any] | None:
    found = await connection.execute(
        "SELECT state, failure FROM runs WHERE recording = %s AND run = %s",
        [event.recording, event.run],
    )
    return await found.fetchone()


async def _write_transcript(connection: Connection, event: Event, transcript: Transcript) -> None:
    await connection.execute(
        """
        UPDATE runs SET recognizer = %s, languages = %s, echoes = %s
        WHERE recording = %s AND run = %s
        """,
        [
            Jsonb(transcript.engine.model_dump()),
            Jsonb([language.model_dump() for language in transcript.languages]),
            Jsonb([echo.model_dump() for echo in transcript.echoes]),
            event.recording,
            event.run,
        ],
    )
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO segments (recording, run, tenant, position, id, speaker,
                                  start_time, end_time, text, confidence, words,
                                  mean_log_probability, no_speech_probability,
                                  "overlaps", backchannel)
            VALUES (%(recording)s, %(run)s, %(tenant)s, %(position)s, %(id)s, %(speaker)s,
                    %(start_time)s, %(end_time)s, %(text)s, %(confidence)s, %(words)s,
                    %(mean_log_probability)s, %(no_speech_probability)s,
                    %(overlaps)s, %(backchannel)s)
            """,
            _segment_rows(event, transcript),
        )


def _segment_rows(event: Event, transcript: Transcript) -> list[dict[str, Any]]:
    return [
        {
            **segment.model_dump(exclude={"words"}),
            "overlaps": list(segment.overlaps),
            "words": Jsonb([asdict(word) for word in segment.words]),
            "recording": event.recording,
            "run": event.run,
            "tenant": event.tenant,
            "position": position,
        }
        for position, segment in enumerate(transcript.segments, start=1)
    ]


async def _write_summary(
    connection: Connection, event: TranscriptSummarized, summary: Summary
) -> None:
    await connection.execute(
        """
        INSERT INTO summaries (recording, run, tenant, text, key_points,
                               sentiment, sentiment_score, engine)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            event.recording,
            event.run,
            event.tenant,
            summary.text,
            list(summary.key_points),
            summary.sentiment,
            summary.sentiment_score,
            Jsonb(summary.engine.model_dump()),
        ],
    )
