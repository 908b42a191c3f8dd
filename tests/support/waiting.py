"""Running and waiting in tests: every wait is for a condition, and ends in a failure."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the work in a loop of its own."""
    return asyncio.run(work)


def eventually(look: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
    """Return what `look` returns as soon as it is truthy. Fail, naming `what`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError(f"Waited {seconds} s for {what}.")


async def until(condition: Callable[[], object], deadline: float = 15.0) -> None:
    """Wait until the condition is true. Fail after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("The condition did not come true in time.")
        await asyncio.sleep(0.002)
