"""Waiting for a client of the broker so that a cancellation is never lost.

nats-py waits with `asyncio.wait_for`, which in Python 3.11 swallows a cancellation that comes
together with the result (https://github.com/python/cpython/issues/86296). What is cancelled once
would then go on for ever.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from shared.tasks import together

T = TypeVar("T")


async def cancellable(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work. A cancellation counts even if the work misses it."""
    [result] = await together(work)
    return result
