"""Streams in parts."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")


async def taken(most: int, stream: AsyncIterator[T]) -> AsyncIterator[T]:
    """The next `most` of a stream, or fewer if it ends; the rest stays in it."""
    for _ in range(most):
        try:
            yield await anext(stream)
        except StopAsyncIteration:
            return


async def chained(first: Iterable[T], rest: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """What was taken from a stream, and then its rest."""
    for one in first:
        yield one
    async for one in rest:
        yield one
