"""Calls of the broker's client that can always be cancelled.

nats-py waits with `asyncio.wait_for`, which in Python 3.11 swallows a cancellation that comes
together with the result (https://github.com/python/cpython/issues/86296). What is cancelled once
would then go on for ever.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from shared.tasks import together

T = TypeVar("T")


async def cancellable(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`. A cancellation takes effect even if the work swallows it."""
    [result] = await together(work)
    return result
