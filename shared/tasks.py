"""Work done at the same time, and work that leaves time for other work."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def together(*works: Coroutine[Any, Any, T]) -> list[T]:
    """Run all at once. The first failure cancels the others and is raised as it is."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_turns(items: Iterable[T], batch: int = 20) -> AsyncIterator[T]:
    """The items; after each batch, what else waits in the event loop gets its turn."""
    for number, item in enumerate(items, 1):
        yield item
        if number % batch == 0:
            await asyncio.sleep(0)
