"""Coroutines that run at the same time, and loops that leave the event loop free."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def together(*works: Coroutine[Any, Any, T]) -> list[T]:
    """Run all works at once and return their results in order.

    The first failure cancels the others and is raised as it is. A cancellation is raised whatever
    a work does when it is cancelled; `asyncio.gather` would raise the work's own error instead.
    """
    tasks = [asyncio.create_task(work) for work in works]
    pending = set(tasks)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in tasks if task in done]:
                task.result()
        return [task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await ended(*tasks)


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Wait until the tasks have ended, however they do and however often the caller is cancelled.

    A cancellation of the caller is raised after that.
    """
    pending = {task for task in tasks if not task.done()}
    cancellation: asyncio.CancelledError | None = None
    while pending:
        try:
            _, pending = await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancellation = error
            pending = {task for task in pending if not task.done()}
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it
    if cancellation is not None:
        raise cancellation


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await the work to its end; a cancellation meanwhile is raised afterwards."""
    task = asyncio.create_task(work)
    await ended(task)
    return task.result()


async def in_turns(items: Iterable[T], batch: int = 20) -> AsyncIterator[T]:
    """Yield the items, and let the event loop run other tasks after each `batch` of them."""
    for number, item in enumerate(items, 1):
        yield item
        if number % batch == 0:
            await asyncio.sleep(0)
