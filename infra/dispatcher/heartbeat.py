"""Heartbeats: they extend a delivery's ack wait while its function works on it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any

from infra.dispatcher.retry_policy import AttemptOutcome, NoAnswer

SILENT_LIMIT = 2
LONGEST_PROBE = 5.0


class Liveness(Enum):
    """The state of a function that has a request of ours open.

    A function that drains takes no connection any more, but answers those that it has.
    """

    ALIVE = "alive"
    DRAINING = "draining"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class HeartbeatTiming:
    """The times of a delivery that is being worked on, in seconds."""

    interval: float
    """Between two heartbeats."""
    probe: float
    """Time limit of a probe."""
    cap: float
    """Time limit of the whole work."""

    @classmethod
    def within(cls, ack_wait: float, cap: float) -> "HeartbeatTiming":
        """Return a timing with a heartbeat each third of the ack wait, at most two thirds apart."""
        return cls(ack_wait / 3, min(ack_wait / 3, LONGEST_PROBE), cap)


async def with_heartbeat(
    work: Coroutine[Any, Any, AttemptOutcome],
    timing: HeartbeatTiming,
    *,
    probe: Callable[[float], Awaitable[Liveness]],
    extend_ack_wait: Callable[[], Awaitable[None]],
) -> AttemptOutcome:
    """Return the outcome of `work`; at each interval probe the function and extend the ack wait.

    Work that takes longer than the cap is abandoned as `NoAnswer.TIMEOUT`, which counts against
    the event. Work whose function is silent twice in a row, because it hangs, is abandoned as
    `NoAnswer.SILENT`, an outage.
    """
    task = asyncio.create_task(work)
    try:
        return await _watch(task, timing, probe, extend_ack_wait)
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _watch(
    task: asyncio.Task[AttemptOutcome],
    timing: HeartbeatTiming,
    probe: Callable[[float], Awaitable[Liveness]],
    extend_ack_wait: Callable[[], Awaitable[None]],
) -> AttemptOutcome:
    clock = asyncio.get_running_loop().time
    end = clock() + timing.cap
    liveness, silent = Liveness.ALIVE, 0
    while not await _ended(task, min(timing.interval, end - clock())):
        if clock() >= end:
            return NoAnswer.TIMEOUT
        liveness = await probe(timing.probe)
        silent = silent + 1 if liveness is Liveness.SILENT else 0
        if silent == SILENT_LIMIT and not task.done():
            return NoAnswer.SILENT
        await extend_ack_wait()
    return _attributed(task.result(), liveness)


async def _ended(task: asyncio.Task[AttemptOutcome], within: float) -> bool:
    ended, _ = await asyncio.wait({task}, timeout=max(within, 0))
    return bool(ended)


def _attributed(outcome: AttemptOutcome, liveness: Liveness) -> AttemptOutcome:
    """Attribute a broken connection to the event, or to a function that hung or drained."""
    if outcome is NoAnswer.DIED and liveness is Liveness.SILENT:
        return NoAnswer.SILENT
    if outcome is NoAnswer.DIED and liveness is Liveness.DRAINING:
        return NoAnswer.NOT_UP
    return outcome
