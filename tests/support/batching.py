"""What the tests of the batcher share: its devices, and a loop whose time passes by hand."""

import asyncio
import gc
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeAlias

from functions.transcribe.whisper.batch_device import Device
from functions.transcribe.whisper.batcher import Batcher, Lane

PATIENCE = 10.0
"""Seconds after which a test that waits has failed."""
NEVER = 3_600.0
"""A deadline that no test lives to see."""
P = ParamSpec("P")
TextBatcher: TypeAlias = Batcher[str, str, str]
TextLane: TypeAlias = Lane[str, str, str]


class Poison(Exception):
    """What a device raises for an item that it cannot work on."""


class HandClock(asyncio.SelectorEventLoop):
    """An event loop whose time passes only by `pass_time`."""

    now = 0.0

    def time(self) -> float:
        return self.now


def pass_time(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HandClock)
    loop.now += seconds


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, which leaves no task and nothing to complain of behind."""
    complaints: list[str] = []

    async def watched() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        task = asyncio.ensure_future(work)
        watchdog = threading.Timer(PATIENCE, loop.call_soon_threadsafe, [task.cancel])
        watchdog.start()
        try:
            await task
        finally:
            watchdog.cancel()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=HandClock) as runner:
        runner.run(watched())
    gc.collect()
    assert complaints == []


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Let pytest call a test that is a coroutine."""

    @wraps(test)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return call


def heard(key: str, item: str) -> str:
    return f"{key}:{item}"


@dataclass
class SteppedDevice:
    """Begins a batch as soon as it gets one, and ends it when the test says so."""

    _begun: queue.Queue[tuple[str, str]] = field(default_factory=queue.Queue)
    _steps: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, key: str, items: Sequence[str]) -> list[str]:
        self._begun.put((key, "".join(items)))
        assert self._steps.acquire(timeout=PATIENCE)
        return [heard(key, item) for item in items]

    async def begun(self) -> tuple[str, str]:
        """The key and the items (one letter each) of the next batch that has begun."""
        return await asyncio.to_thread(self._begun.get, timeout=PATIENCE)

    def end(self, batches: int = 1) -> None:
        self._steps.release(batches)

    async def next(self) -> tuple[str, str]:
        """End the batch in work; what is begun then."""
        self.end()
        return await self.begun()

    @property
    def idle(self) -> bool:
        return self._begun.empty()


@dataclass
class QuickDevice:
    """Works on every batch at once and keeps it; fails as it is told to."""

    fails: Callable[[Sequence[str]], Exception | None] = lambda _: None
    batches: list[str] = field(default_factory=list)

    def __call__(self, key: str, items: Sequence[str]) -> list[str]:
        if error := self.fails(items):
            raise error
        self.batches.append("".join(items))
        return [heard(key, item) for item in items]


@asynccontextmanager
async def batching(
    *devices: Device[str, str, str],
    size: int = 4,
    deadline: float = NEVER,
    lanes: int = 8,
    depth: int = 100,
) -> AsyncIterator[TextBatcher]:
    batcher: TextBatcher = Batcher(devices, size=size, deadline=deadline, lanes=lanes, depth=depth)
    try:
        yield batcher
    finally:
        await batcher.close()


async def submit(lane: TextLane, items: str, key: str = "k") -> list[asyncio.Future[str]]:
    return [await lane.submit(key, item) for item in items]


async def turn_the_loop() -> None:
    """Let everything happen that can happen now."""
    for _ in range(10):
        await asyncio.sleep(0)
