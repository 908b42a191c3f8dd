"""Waiting for a condition and for a time, and how a process ended."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

Condition: TypeAlias = Callable[[], Awaitable[bool]]
PROBE_EVERY = 0.05


async def until(holds: Condition, *, every: float = PROBE_EVERY) -> None:
    """Call `holds` until it returns True, with `every` seconds in between."""
    while True:
        if await holds():
            return
        await asyncio.sleep(every)


async def pause(seconds: float, stopping: asyncio.Event) -> None:
    """Wait `seconds`, or until `stopping` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


def back_off() -> Iterator[float]:
    """Yield the seconds before each restart: none, then 0.2 doubling to 5."""
    yield 0.0
    delay = 0.2
    while True:
        yield delay
        delay = min(5.0, delay * 2)


def describe_exit(exit_code: int | None) -> str:
    """Return how a process ended, in words: a signal's name or an exit code."""
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return "no process" if exit_code is None else f"exit code {exit_code}"
