"""Waiting: for a condition, for a while, and for what must come to its end."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Probe: TypeAlias = Callable[[], Awaitable[bool]]
PROBE_EVERY = 0.05


async def until(holds: Probe, *, every: float = PROBE_EVERY) -> None:
    """Ask every so many seconds, until the answer is yes."""
    while True:
        if await holds():
            return
        await asyncio.sleep(every)


async def pause(seconds: float, stopping: asyncio.Event) -> None:
    """Wait for some seconds, or until the event is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


async def outlasting(work: Coroutine[Any, Any, T]) -> T:
    """Await the work to its end. A cancellation meanwhile is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


def back_off() -> Iterator[float]:
    """Seconds before each restart: none, then 0.2 doubling to 5."""
    yield 0.0
    delay = 0.2
    while True:
        yield delay
        delay = min(5.0, delay * 2)


def in_words(exit_code: int | None) -> str:
    """How a process ended, for a person."""
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return "no process" if exit_code is None else f"exit code {exit_code}"
