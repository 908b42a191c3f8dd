"""Totals, maintained with every write to the record, so that no reader has to count rows.

Each is the sum of its slots: most connections that write at the same time add to different rows.
Those that share a slot wait for each other until their transactions end, so counting comes last.
Recordings by state are the present ones and are maintained by triggers; all other totals only
grow, also when a recording is erased.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from shared.record.connection import Connection
from shared.record.runs import EndedRun, RunEnding
from shared.record.stages import ReachedStage

Changes: TypeAlias = Mapping[tuple[str, str], float]
"""Additions by measure and label."""
DeliveryOutcome: TypeAlias = Literal["delivered", "parked"]
ALL_TENANTS = "*"
"""The tenant of the whole system's totals."""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Upper limits of the histogram of stages, in seconds; longer stages are in no bucket."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Totals of the whole system, by measure and label."""

    values: Mapping[tuple[str, str], float]

    def labels(self, measure: str) -> Mapping[str, float]:
        return {label: value for (name, label), value in self.values.items() if name == measure}

    def value(self, measure: str, label: str = "") -> float:
        return self.values.get((measure, label), 0)


async def increase(connection: Connection, changes: Changes) -> None:
    """Add the changes to the system's totals, at the end of the transaction that they count."""
    await connection.execute(
        """
        SELECT add_to_total(%s, measure, label, by)
        FROM unnest(%s::text[], %s::text[], %s::double precision[]) AS change (measure, label, by)
        """,
        [
            ALL_TENANTS,
            [measure for measure, _ in changes],
            [label for _, label in changes],
            [float(by) for by in changes.values()],
        ],
    )


async def count_recordings(connection: Connection, tenant: str, state: str | None = None) -> int:
    """Return the number of the tenant's recordings, only those in `state` if given."""
    found = await connection.execute(
        """
        SELECT coalesce(sum(value), 0)::bigint AS total FROM totals
        WHERE tenant = %s AND measure = 'recordings' AND (%s::text IS NULL OR label = %s)
        """,
        [tenant, state, state],
    )
    row = await found.fetchone()
    return row["total"] if row else 0


async def system_totals(connection: Connection) -> Totals:
    """Return all totals, over all tenants."""
    found = await connection.execute(
        "SELECT measure, label, sum(value) AS value FROM totals GROUP BY measure, label"
    )
    return Totals({(row["measure"], row["label"]): row["value"] for row in await found.fetchall()})


def stage_changes(stage: str, outcome: DeliveryOutcome = "delivered") -> Changes:
    """Return the changes for a stage that was reached: one delivery of its function."""
    return {(outcome, stage): 1}


def run_changes(ending: RunEnding, ended: EndedRun, stages: Sequence[ReachedStage]) -> Changes:
    """Return the changes for a run that has ended."""
    changes: dict[tuple[str, str], float] = {("ended", ending.state): 1}
    if ending.failure is not None:
        changes["parked", ending.failure.function] = 1
    if ending.state == "completed":
        changes["audio_seconds", ""] = ended.duration or 0
        changes["processing_seconds", ""] = ended.seconds
    for stage, seconds in stage_seconds(stages):
        for key, by in _observed(stage, seconds).items():
            changes[key] = changes.get(key, 0) + by
    return changes


def stage_seconds(stages: Sequence[ReachedStage]) -> Sequence[tuple[str, float]]:
    """Return the seconds that each stage took, since the latest one before it in the pipeline.

    `stages` are in the order of the pipeline. The channels are stages of their own.
    """
    times: dict[int, list[ReachedStage]] = {}
    for stage in stages:
        times.setdefault(stage.position[0], []).append(stage)
    return [
        (
            stage.stage,
            max(0.0, (stage.reached_at - max(one.reached_at for one in before)).total_seconds()),
        )
        for before, after in pairwise(times[position] for position in sorted(times))
        for stage in after
    ]


def _observed(stage: str, seconds: float) -> Changes:
    bucket = next((f"{stage}/{limit:g}" for limit in BUCKETS if seconds <= limit), None)
    observed = {("stage_seconds_count", stage): 1.0, ("stage_seconds_sum", stage): seconds}
    return {**observed, ("stage_seconds_bucket", bucket): 1} if bucket else observed
