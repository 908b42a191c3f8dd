"""The stages that a run has reached."""

from uuid import UUID

from shared.record.connection import Connection


async def reach_stage(
    connection: Connection, recording: UUID, run: int, stage: str, channel: str = ""
) -> bool:
    """Note that the run reached a stage; tell whether it was news. An unknown run reaches none.

    Sequence numbers count the stages of a recording from 1 without gaps: the recording's row is
    locked while the next one is taken.
    """
    found = await connection.execute(
        """
        SELECT recordings.tenant FROM recordings JOIN runs ON runs.recording = recordings.id
        WHERE recordings.id = %s AND runs.run = %s FOR UPDATE OF recordings
        """,
        [recording, run],
    )
    row = await found.fetchone()
    if row is None:
        return False
    added = await connection.execute(
        """
        INSERT INTO stages (recording, run, tenant, stage, channel, sequence, reached_at)
        SELECT %(recording)s, %(run)s, %(tenant)s, %(stage)s, %(channel)s,
               1 + coalesce(max(sequence), 0), clock_timestamp()
        FROM stages WHERE recording = %(recording)s
        ON CONFLICT (recording, run, stage, channel) DO NOTHING
        """,
        {
            "recording": recording,
            "run": run,
            "tenant": row["tenant"],
            "stage": stage,
            "channel": channel,
        },
    )
    return added.rowcount == 1
