"""Collect the items of many lanes into batches for a few devices.

Each channel that is being recognised has a lane. Items of one key, of whatever lanes, are worked
on together, because a device takes one set of options per call. The lanes take turns, the one
longest without one first, so a short call does not wait behind a long one. What may wait is
bounded by lanes times depth; a lane beyond that is refused with `Unavailable`.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Generic, TypeVar

import structlog

from functions.transcribe.whisper.batch_device import BatchDevice, Device
from shared.errors import PocWhispError, Unavailable

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")
logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BatchTotals:
    """The work that the devices have done: batches and items with results, and seconds.

    `full` is how full the batches were, from 0 to 1: items over the most there could have been.
    """

    batches: int
    items: int
    seconds: float
    full: float


class Batcher(Generic[Key, Item, Result]):
    """Collects the items of all lanes into batches for a few devices.

    `size` is the most items in a batch, `deadline` the seconds that an item at most waits for
    others while a device is idle, `lanes` the most lanes at a time. `depth` is the most items
    that one lane may have waiting or in work; if none is given it is twice `size` for each device,
    so that even a lone lane has a batch ready when one ends. All but `deadline` are at least 1.

    A batch that a device cannot take is worked on in halves. If it was `TooLarge`, that device
    gets smaller ones until it has proven itself; after any other error, only the item that fails
    alone gets it. A device that is `Broken` gets no more work, and the others serve on; once none
    is left, the batcher takes no more work, and `broken` is set.
    """

    def __init__(
        self,
        devices: Sequence[Device[Key, Item, Result]],
        *,
        size: int,
        deadline: float = 0.03,
        lanes: int = 64,
        depth: int | None = None,
    ) -> None:
        self._size = size
        self._deadline = deadline
        self._most = lanes
        self._depth = 2 * size * len(devices) if depth is None else depth
        self._devices = [BatchDevice(work, size) for work in devices]
        self._threads = ThreadPoolExecutor(len(devices), thread_name_prefix="device")
        self._workers: list[asyncio.Task[None]] = []
        self._lanes: OrderedDict[Lane[Key, Item, Result], None] = OrderedDict()  # in turn
        self._changed = asyncio.Event()
        self._closed = False
        self.broken = asyncio.Event()

    @asynccontextmanager
    async def lane(self) -> "AsyncIterator[Lane[Key, Item, Result]]":
        """Open a lane. Raises `Unavailable` when all are taken, or no more work is.

        When it is left, however that happens, what still waits in it is dropped.
        """
        lane = self._open()
        try:
            yield lane
        finally:
            lane.leave()
            del self._lanes[lane]
            self._changed.set()

    async def close(self) -> None:
        """Let the batches in work end; whatever waits gets `Unavailable`."""
        self._take_no_more()
        try:
            if self._workers:
                await asyncio.wait(self._workers)
        finally:
            self._threads.shutdown(wait=False)

    @property
    def open_lanes(self) -> int:
        return len(self._lanes)

    @property
    def totals(self) -> BatchTotals:
        batches = sum(device.batches for device in self._devices)
        items = sum(device.items for device in self._devices)
        seconds = sum(device.seconds for device in self._devices)
        return BatchTotals(batches, items, seconds, items / max(1, batches * self._size))

    def _take_no_more(self) -> None:
        self._closed = True
        for lane in self._lanes:
            lane.close()
        self._changed.set()

    def _open(self) -> "Lane[Key, Item, Result]":
        if self._closed:
            raise _closing()
        if len(self._lanes) >= self._most:
            raise Unavailable(f"All {self._most} lanes to the devices are taken.")
        if not self._workers:  # not before: only now is there a loop for certain
            self._workers = [asyncio.create_task(self._work(device)) for device in self._devices]
        lane: Lane[Key, Item, Result] = Lane(self._depth, self._changed)
        self._lanes[lane] = None
        return lane

    async def _work(self, device: BatchDevice[Key, Item, Result]) -> None:
        loop = asyncio.get_running_loop()
        while not device.is_broken and (batch := await self._next(device.size)):
            key, items = batch[0].key, [entry.item for entry in batch]
            try:
                outcomes = await loop.run_in_executor(self._threads, device.work, key, items)
                for entry, outcome in zip(batch, outcomes, strict=True):
                    entry.settle(outcome)
            finally:
                for entry in batch:
                    entry.future.cancel()  # so that nobody waits for a worker that is gone
        if device.is_broken:
            self._do_without_broken()

    def _do_without_broken(self) -> None:
        """Serve on with the devices that are left, or take no more work if none is."""
        left = sum(not device.is_broken for device in self._devices)
        logger.error("device_broken", devices_left=left)
        if not left:
            self._take_no_more()
            self.broken.set()

    async def _next(self, size: int) -> "list[_Entry[Key, Item, Result]]":
        """Wait for the first batch in turn that is full or due. Returns an empty one if closed."""
        clock = asyncio.get_running_loop().time
        while not self._closed:
            soonest = math.inf
            for batch in self._batches(size):
                due = self._due(batch, size)
                if due <= clock():
                    return self._take(batch)
                soonest = min(soonest, due)
            await self._wait_for_change(soonest)
        return []

    def _batches(self, size: int) -> "Iterator[list[_Entry[Key, Item, Result]]]":
        """Yield, for each key at the head of a lane, a batch filled round-robin from all lanes."""
        heads = (head for lane in self._lanes if (head := lane.head))
        for key in dict.fromkeys(head.key for head in heads):
            rounds = zip_longest(*(lane.of(key) for lane in self._lanes))
            yield list(islice(filter(None, chain.from_iterable(rounds)), size))

    def _due(self, batch: "list[_Entry[Key, Item, Result]]", size: int) -> float:
        """Return the loop's time at which to begin the batch, full or not."""
        if len(batch) == size or all(lane.full for lane in self._lanes):
            return -math.inf  # nothing more can come
        return min(entry.since for entry in batch) + self._deadline

    def _take(self, batch: "list[_Entry[Key, Item, Result]]") -> "list[_Entry[Key, Item, Result]]":
        for entry in batch:
            if entry is entry.lane.head:  # else its lane's turn is still to come
                self._lanes.move_to_end(entry.lane)
            del entry.lane.waiting[entry]
        return batch

    async def _wait_for_change(self, until: float) -> None:
        """Wait for a new item or lane, or an end, and no longer than `until`, in loop time."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(None if until == math.inf else until):
                await self._changed.wait()


class Lane(Generic[Key, Item, Result]):
    """The items of one channel. Its owner calls `submit`; the rest is for the batcher."""

    def __init__(self, depth: int, changed: asyncio.Event) -> None:
        self.waiting: dict[_Entry[Key, Item, Result], None] = {}  # in order
        self._held: set[_Entry[Key, Item, Result]] = set()  # waiting or in work
        self._depth = depth
        self._changed = changed
        self._room = asyncio.Event()
        self._end: Callable[[], BaseException] | None = None

    async def submit(self, key: Key, item: Item) -> asyncio.Future[Result]:
        """Wait until the lane has room, then return the future of the item's result.

        Cancel the future to take the item back. Its error is `Transient`, or the `PocWhispError`
        that the device raised, or `Unavailable` if the batcher closes first, which this method
        raises as well. In a lane that is left, this method and the futures are cancelled.
        """
        while self.full and not self._end:
            self._room.clear()
            await self._room.wait()
        if self._end:
            raise self._end()
        loop = asyncio.get_running_loop()
        entry = _Entry(self, key, item, loop.create_future(), loop.time())
        self._hold(entry)
        return entry.future

    @property
    def full(self) -> bool:
        return len(self._held) >= self._depth

    @property
    def head(self) -> "_Entry[Key, Item, Result] | None":
        return next(iter(self.waiting), None)

    def of(self, key: Key) -> "Iterator[_Entry[Key, Item, Result]]":
        return (entry for entry in self.waiting if entry.key == key)

    def leave(self) -> None:
        """Cancel what waits and what is in work: nobody wants the results any more."""
        self._end = asyncio.CancelledError
        self._room.set()
        self.waiting.clear()
        for entry in self._held:
            entry.future.cancel()

    def close(self) -> None:
        """Refuse what waits, and what is submitted from now on, with `Unavailable`."""
        self._end = _closing
        self._room.set()
        for entry in self.waiting:
            entry.settle(_closing())
        self.waiting.clear()

    def _hold(self, entry: "_Entry[Key, Item, Result]") -> None:
        self._held.add(entry)
        self.waiting[entry] = None
        entry.future.add_done_callback(lambda _: self._release(entry))
        self._changed.set()

    def _release(self, entry: "_Entry[Key, Item, Result]") -> None:
        self._held.discard(entry)
        self.waiting.pop(entry, None)
        self._room.set()


@dataclass(frozen=True, eq=False, slots=True)
class _Entry(Generic[Key, Item, Result]):
    """An item with the future of its result. `since` is the loop's time at which it came."""

    lane: Lane[Key, Item, Result]
    key: Key
    item: Item
    future: asyncio.Future[Result]
    since: float

    def settle(self, outcome: Result | PocWhispError) -> None:
        if self.future.done():  # cancelled meanwhile
            return
        if isinstance(outcome, PocWhispError):
            self.future.set_exception(outcome)
            self.future.exception()  # an owner that failed by another item may never look at it
        else:
            self.future.set_result(outcome)


def _closing() -> Unavailable:
    return Unavailable("The devices take no more work.")
