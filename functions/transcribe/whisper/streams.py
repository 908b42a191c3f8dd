"""Take streams apart and join them."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def taken(most: int, stream: AsyncIterator[T]) -> AsyncIterator[T]:
    """Yield the next `most` items of a stream, or fewer if it ends; the rest stays in it."""
    for _ in range(most):
        try:
            yield await anext(stream)
        except StopAsyncIteration:
            return


async def chained(first: deque[T], rest: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """Yield the items of `first`, emptying it, and then the rest of their stream."""
    while first:
        yield first.popleft()
    async for one in rest:
        yield one
