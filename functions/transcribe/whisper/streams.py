"""Streams in parts."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def taken(most: int, stream: AsyncIterator[T]) -> AsyncIterator[T]:
    """The next `most` of a stream, or fewer if it ends; the rest stays in it."""
    for _ in range(most):
        try:
            yield await anext(stream)
        except StopAsyncIteration:
            return


async def chained(first: deque[T], rest: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """What was taken from a stream, and then its rest; nothing is held on to."""
    while first:
        yield first.popleft()
    async for one in rest:
        yield one
