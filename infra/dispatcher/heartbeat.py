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
class Pace:
    """Seconds between two beats, for one sign of life, and for the whole work."""

    interval: float
    probe: float
    cap: float

    @classmethod
    def within(cls, ack_wait: float, cap: float) -> "Pace":
        """A beat each third of the ack wait; two silent ones end before it does."""
        return cls(ack_wait / 3, min(ack_wait / 8, LONGEST_PROBE), cap)


async def tended(
    work: Coroutine[Any, Any, T],
    pace: Pace,
    *,
    alive: Callable[[float], Awaitable[bool]],
    beat: Callable[[], Awaitable[None]],
) -> T | Failure:
    """The result of `work`; `beat` is called at the pace while `alive` says so.

    Work that outlasts the cap, or whose function is silent twice in a row, is abandoned.
    """
    task = asyncio.create_task(work)
    try:
        return await _watch(task, pace, alive, beat)
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _watch(
    task: asyncio.Task[T],
    pace: Pace,
    alive: Callable[[float], Awaitable[bool]],
    beat: Callable[[], Awaitable[None]],
) -> T | Failure:
    clock = asyncio.get_running_loop().time
    end = clock() + pace.cap
    silent = 0
    while not await _ended(task, min(pace.interval, end - clock())):
        if clock() >= end:
            return Failure.TIMEOUT
        if await alive(pace.probe):
            silent = 0
            await beat()
        else:
            silent += 1
        if silent == SILENT_LIMIT and not task.done():
            return Failure.DIED
    return task.result()


async def _ended(task: asyncio.Task[T], within: float) -> bool:
    ended, _ = await asyncio.wait({task}, timeout=max(within, 0))
    return bool(ended)
