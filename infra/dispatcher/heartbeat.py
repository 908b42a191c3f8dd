"""Keeps a delivery ours while its function works on it, however long that takes."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from infra.dispatcher.retry_policy import Failure

T = TypeVar("T")

SILENT_LIMIT = 2
LONGEST_PROBE = 5.0


@dataclass(frozen=True, slots=True)
class HeartbeatTiming:
    """Seconds between two beats, for one sign of life, and for the whole work."""

    interval: float
    probe: float
    cap: float

    @classmethod
    def within(cls, ack_wait: float, cap: float) -> "HeartbeatTiming":
        """A beat each third of the ack wait; two silent ones end before it does."""
        return cls(ack_wait / 3, min(ack_wait / 8, LONGEST_PROBE), cap)


async def with_heartbeat(
    work: Coroutine[Any, Any, T],
    timing: HeartbeatTiming,
    *,
    is_alive: Callable[[float], Awaitable[bool]],
    extend_ack_wait: Callable[[], Awaitable[None]],
) -> T | Failure:
    """The result of `work`; `extend_ack_wait` is called at each interval while `is_alive` says so.

    Work that outlasts the cap, or whose function is silent twice in a row, is abandoned.
    """
    task = asyncio.create_task(work)
    try:
        return await _watch(task, timing, is_alive, extend_ack_wait)
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _watch(
    task: asyncio.Task[T],
    timing: HeartbeatTiming,
    is_alive: Callable[[float], Awaitable[bool]],
    extend_ack_wait: Callable[[], Awaitable[None]],
) -> T | Failure:
    clock = asyncio.get_running_loop().time
    end = clock() + timing.cap
    silent = 0
    while not await _ended(task, min(timing.interval, end - clock())):
        if clock() >= end:
            return Failure.TIMEOUT
        if await is_alive(timing.probe):
            silent = 0
            await extend_ack_wait()
        else:
            silent += 1
        if silent == SILENT_LIMIT and not task.done():
            return Failure.DIED
    return task.result()


async def _ended(task: asyncio.Task[T], within: float) -> bool:
    ended, _ = await asyncio.wait({task}, timeout=max(within, 0))
    return bool(ended)
