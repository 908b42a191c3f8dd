"""A device that works on batches, and the size of batch that it has memory for."""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, TypeAlias, TypeVar

from shared.errors import PocWhispError, Transient, Unavailable

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")
Device: TypeAlias = Callable[[Key, Sequence[Item]], Sequence[Result]]
"""Works on items of one key and returns a result for each, in order. It blocks its thread and
should release the GIL; it is called with one batch at a time."""
PROBATION = 16
"""Full batches in a row after which a device that ran out of memory is given a larger one."""
LONGEST_PROBATION = 1_024


class TooLarge(Exception):
    """The device has no memory for a batch of this size."""


class Broken(Exception):
    """The device can be used no more by this process."""


class BatchDevice(Generic[Key, Item, Result]):
    """A device with its own batch size. All of `work` happens in one thread at a time.

    `size` is halved when the device runs out of memory, which another process may have held. After
    `PROBATION` full batches of the smaller size it is doubled again, up to `most`; each further
    time that the memory runs out doubles the probation. `is_broken` once the device raised
    `Broken`; it must be given no work then.
    """

    def __init__(self, device: Device[Key, Item, Result], most: int) -> None:
        self._device = device
        self._most = most
        self._probation = PROBATION // 2
        self._full = 0
        self.size = most
        self.is_broken = False
        self.batches = 0
        self.items = 0
        self.seconds = 0.0

    def work(self, key: Key, items: Sequence[Item]) -> list[Result | PocWhispError]:
        """Return a result or an error for each item."""
        try:
            return [*self._results(key, items)]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is somebody's item's
            self.is_broken |= isinstance(error, Broken)
            if len(items) == 1 or isinstance(error, Unavailable | Broken):
                return [_failure(error)] * len(items)
            half = len(items) // 2
            if isinstance(error, TooLarge):
                self._shrink(half)
        return [outcome for part in self._parts(items, half) for outcome in self.work(key, part)]

    def _parts(self, items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
        at = 0
        while at < len(items):
            end = at + min(most, self.size)  # which may have shrunk since the part before
            yield items[at:end]
            at = end

    def _results(self, key: Key, items: Sequence[Item]) -> Sequence[Result]:
        began = time.perf_counter()
        try:
            results = self._device(key, items)
        finally:
            self.seconds += time.perf_counter() - began
        if len(results) != len(items):
            raise ValueError(f"{len(results)} results for {len(items)} items")
        self.batches += 1
        self.items += len(items)
        self._grow(len(items))
        return results

    def _shrink(self, size: int) -> None:
        self.size, self._full = size, 0
        self._probation = min(2 * self._probation, LONGEST_PROBATION)

    def _grow(self, items: int) -> None:
        if items < self.size or self.size == self._most:
            return
        self._full += 1
        if self._full == self._probation:
            self.size, self._full = min(2 * self.size, self._most), 0


def _failure(error: Exception) -> PocWhispError:
    if isinstance(error, PocWhispError):
        return error
    message = f"The device failed: {error}"
    is_outage = isinstance(error, TooLarge | Broken)
    failure = Unavailable(message, part="The device") if is_outage else Transient(message)
    failure.__cause__ = error
    return failure
