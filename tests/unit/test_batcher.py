import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.transcribe.whisper.batch_device import PROBATION, BatchDevice, Broken, TooLarge
from functions.transcribe.whisper.batcher import Batcher
from shared.errors import Permanent, Transient, Unavailable
from tests.support.batching import (
    NEVER,
    PATIENCE,
    Poison,
    QuickDevice,
    SteppedDevice,
    TextBatcher,
    batching,
    heard,
    in_loop,
    pass_time,
    run,
    submit,
    turn_the_loop,
)


@pytest.fixture
def device() -> SteppedDevice:
    return SteppedDevice()


def test_a_batcher_is_made_without_a_loop_and_gives_everybody_their_own_results() -> None:
    device = QuickDevice()
    batcher: TextBatcher = Batcher([device], size=4, deadline=NEVER)

    async def work() -> None:
        async with batcher.lane() as left, batcher.lane() as right:
            asked = await submit(left, "ab") + await submit(right, "cd")
            assert await asyncio.gather(*asked) == ["k:a", "k:b", "k:c", "k:d"]
        await batcher.close()

    run(work())
    assert device.batches == ["acbd"]


@in_loop
async def test_a_minute_does_not_wait_behind_an_hour(device: SteppedDevice) -> None:
    async with batching(device, depth=200) as batcher, batcher.lane() as hour:
        await submit(hour, "h" * 100)
        assert await device.begun() == ("k", "hhhh")
        async with batcher.lane() as minute:
            asked = await submit(minute, "mm")
            assert await device.next() == ("k", "hmhm")
            device.end()
            assert await asyncio.gather(*asked) == ["k:m", "k:m"]
        device.end()


@in_loop
async def test_every_lane_gets_its_turn_however_many_there_are(device: SteppedDevice) -> None:
    async with batching(device, size=2) as batcher, AsyncExitStack() as stack:
        lanes = [await stack.enter_async_context(batcher.lane()) for _ in range(3)]
        await submit(lanes[0], "aa")
        assert await device.begun() == ("k", "aa")
        for lane, item in zip(lanes, "abc", strict=True):
            await submit(lane, item * 4)
        begun = [(await device.next())[1] for _ in range(4)]
        assert begun == ["bc", "ab", "ca", "bc"]
        device.end()


@in_loop
async def test_a_batch_that_is_not_full_begins_when_its_oldest_item_is_due(
    device: SteppedDevice,
) -> None:
    async with batching(device, deadline=5) as batcher, batcher.lane() as lane:
        await submit(lane, "a")
        pass_time(4.5)
        await turn_the_loop()
        await submit(lane, "b")
        pass_time(0.5)
        assert await device.begun() == ("k", "ab")
        device.end()


@in_loop
async def test_what_waited_for_a_device_waits_for_nobody_else(device: SteppedDevice) -> None:
    async with batching(device, size=2, deadline=5) as batcher, batcher.lane() as lane:
        await submit(lane, "abc")
        assert await device.begun() == ("k", "ab")
        pass_time(5)
        assert await device.next() == ("k", "c")
        device.end()


@in_loop
async def test_a_batch_begins_at_once_when_nothing_more_can_come(device: SteppedDevice) -> None:
    async with batching(device, depth=2) as batcher, batcher.lane() as left:
        async with batcher.lane() as right:
            await submit(left, "ab")
            await submit(right, "c")
            await turn_the_loop()
            assert device.idle
            await submit(right, "d")
            assert await device.begun() == ("k", "acbd")
            device.end()
        await submit(left, "ef")
        assert await device.begun() == ("k", "ef")
        device.end()


@in_loop
async def test_a_caller_who_leaves_no_longer_holds_up_the_others(device: SteppedDevice) -> None:
    async with batching(device, depth=2) as batcher, batcher.lane() as left:
        async with batcher.lane():
            await submit(left, "ab")
            await turn_the_loop()
        assert await device.begun() == ("k", "ab")
        device.end()


@in_loop
async def test_keys_do_not_mix(device: SteppedDevice) -> None:
    async with batching(device, size=2, deadline=0) as batcher, batcher.lane() as lane:
        await submit(lane, "x")
        assert await device.begun() == ("k", "x")
        asked = [await lane.submit(key, item) for key, item in ("1a", "2b", "1c", "2d", "1e")]
        assert [await device.next() for _ in range(3)] == [("1", "ac"), ("2", "bd"), ("1", "e")]
        device.end()
        assert await asyncio.gather(*asked) == ["1:a", "2:b", "1:c", "2:d", "1:e"]


@in_loop
async def test_a_rare_key_does_not_wait_behind_a_common_one(device: SteppedDevice) -> None:
    async with batching(device, size=2, deadline=0) as batcher, AsyncExitStack() as stack:
        lanes = [await stack.enter_async_context(batcher.lane()) for _ in range(3)]
        await submit(lanes[0], "aa")
        assert await device.begun() == ("k", "aa")
        await submit(lanes[0], "aaaa")
        await submit(lanes[1], "bbbb")
        await submit(lanes[2], "r", "rare")
        assert await device.next() == ("k", "ba")
        assert await device.next() == ("rare", "r")
        await device.next()
        device.end(2)


@in_loop
async def test_a_rare_key_is_not_passed_over_by_its_own_lane(device: SteppedDevice) -> None:
    async with (
        batching(device, size=2, deadline=0) as batcher,
        batcher.lane() as left,
        batcher.lane() as right,
    ):
        await submit(left, "aa")
        assert await device.begun() == ("k", "aa")
        await submit(left, "r", "rare")
        await submit(left, "aaa")
        await submit(right, "bbb")
        begun = [await device.next() for _ in range(4)]
        assert begun == [("k", "ba"), ("rare", "r"), ("k", "ba"), ("k", "ba")]
        device.end()


@in_loop
async def test_a_full_batch_does_not_wait_for_one_that_is_not(device: SteppedDevice) -> None:
    async with (
        batching(device, size=2) as batcher,
        batcher.lane() as left,
        batcher.lane() as right,
    ):
        await submit(left, "a", "rare")
        await submit(right, "bb")
        assert await device.begun() == ("k", "bb")
        await submit(left, "a", "rare")
        assert await device.next() == ("rare", "aa")
        device.end()


@in_loop
async def test_devices_work_at_the_same_time_in_threads_of_their_own() -> None:
    meeting = threading.Barrier(2)
    threads: set[str] = set()

    def device(key: str, items: Sequence[str]) -> list[str]:
        threads.add(threading.current_thread().name)
        meeting.wait(PATIENCE)
        return [heard(key, item) for item in items]

    async with batching(device, device, size=2) as batcher, batcher.lane() as lane:
        asked = await submit(lane, "abcd")
        assert await asyncio.gather(*asked) == ["k:a", "k:b", "k:c", "k:d"]
    assert len(threads) == 2
    assert all(name.startswith("device") for name in threads)


@in_loop
async def test_a_batch_too_large_is_halved_and_stays_so() -> None:
    device = QuickDevice(lambda items: TooLarge() if len(items) > 3 else None)
    async with batching(device, size=8) as batcher, batcher.lane() as lane:
        asked = await submit(lane, "abcdefgh")
        assert await asyncio.gather(*asked) == [f"k:{item}" for item in "abcdefgh"]
        await asyncio.gather(*await submit(lane, "ijkl"))
    assert device.batches == ["ab", "cd", "ef", "gh", "ij", "kl"]


@in_loop
async def test_what_was_too_large_once_is_not_tried_again() -> None:
    tried: list[str] = []

    def device(key: str, items: Sequence[str]) -> list[str]:
        tried.append("".join(items))
        if len(items) > 1:
            raise TooLarge
        return [heard(key, item) for item in items]

    async with batching(device) as batcher, batcher.lane() as lane:
        await asyncio.gather(*await submit(lane, "abcd"))
    assert tried == ["abcd", "ab", *"abcd"]


def tried_sizes(most: int, room: Callable[[int], int], batches: int) -> list[int]:
    """The sizes tried, one batch after the other, by a device with room for `room(tries)` items."""
    tried: list[int] = []

    def device(_: str, items: Sequence[str]) -> list[str]:
        tried.append(len(items))
        if len(items) > room(len(tried)):
            raise TooLarge
        return list(items)

    small = BatchDevice(device, most)
    for _ in range(batches):
        small.work("k", ["item"] * small.size)
    return tried


def test_a_larger_batch_is_tried_again_after_many_that_went_well() -> None:
    tried = tried_sizes(4, lambda tries: 2 if tries == 1 else 4, PROBATION + 2)
    assert tried == [4, *[2] * PROBATION, 4, 4, 4]


def test_a_larger_batch_is_tried_more_rarely_the_more_often_it_failed() -> None:
    tried = tried_sizes(2, lambda _: 1, 8 * PROBATION)
    failures = [place for place, size in enumerate(tried) if size == 2]
    gaps = [later - earlier - 1 for earlier, later in pairwise(failures)]
    assert gaps == [PROBATION, 2 * PROBATION, 4 * PROBATION]


@in_loop
async def test_only_the_device_without_memory_gets_smaller_batches() -> None:
    small = QuickDevice(lambda items: TooLarge() if len(items) > 1 else None)
    large = SteppedDevice()

    async with batching(small, large, size=2) as batcher, batcher.lane() as lane:
        asked = await submit(lane, "abcd")
        assert await asyncio.gather(*asked[:2]) == ["k:a", "k:b"]
        assert await large.begun() == ("k", "cd")
        assert await asyncio.gather(*await submit(lane, "e")) == ["k:e"]
        await asyncio.gather(*await submit(lane, "fg"))
        large.end()
        await asyncio.gather(*asked)
    assert small.batches == [*"abefg"]


@pytest.mark.parametrize("items", ["a", "abc"])
@in_loop
async def test_an_item_too_large_alone_is_to_be_tried_again(items: str) -> None:
    device = QuickDevice(lambda items: TooLarge("full") if "a" in items else None)
    async with batching(device, depth=len(items)) as batcher, batcher.lane() as lane:
        first, *others = await submit(lane, items)
        with pytest.raises(Unavailable, match="full") as failed:
            await first
        assert isinstance(failed.value.__cause__, TooLarge)
        assert await asyncio.gather(*others) == [f"k:{item}" for item in items[1:]]


@in_loop
async def test_a_device_that_is_gone_is_not_asked_again_for_each_item() -> None:
    asked: list[str] = []

    def gone(_: str, items: Sequence[str]) -> list[str]:
        asked.append("".join(items))
        raise Unavailable("gone")

    async with batching(gone, size=4, depth=4) as batcher, batcher.lane() as lane:
        outcomes = await asyncio.gather(*await submit(lane, "abcd"), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["gone"] * 4
    assert asked == ["abcd"]


@in_loop
async def test_a_broken_device_gets_no_more_work_and_the_others_serve_on() -> None:
    well = SteppedDevice()
    broken = QuickDevice(lambda _: Broken("no GPU"))
    async with batching(broken, well, size=2) as batcher, batcher.lane() as lane:
        lost = await submit(lane, "ab")
        with pytest.raises(Unavailable, match="no GPU"):
            await lost[0]
        asked = await submit(lane, "cdef")
        assert await well.begun() == ("k", "cd")
        assert await well.next() == ("k", "ef")
        well.end()
        assert await asyncio.gather(*asked) == ["k:c", "k:d", "k:e", "k:f"]
        assert not batcher.broken.is_set()


@in_loop
async def test_without_a_device_that_is_not_broken_nothing_waits_and_nothing_is_taken() -> None:
    gone = QuickDevice(lambda _: Broken("no GPU"))
    async with batching(gone, gone, size=1) as batcher, batcher.lane() as lane:
        outcomes = await asyncio.gather(*await submit(lane, "abcd"), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 4
        await batcher.broken.wait()
        with pytest.raises(Unavailable):
            await lane.submit("k", "e")
        with pytest.raises(Unavailable):
            async with batcher.lane():
                pass


@pytest.mark.parametrize("error", [Poison(), StopIteration(), Permanent("a_code", "No.")])
@in_loop
async def test_only_the_item_that_fails_gets_the_error(error: Exception) -> None:
    device = QuickDevice(lambda items: error if "c" in items else None)
    async with batching(device, size=5) as batcher, batcher.lane() as lane:
        asked = await submit(lane, "abcde")
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        failure = outcomes.pop(2)
        assert outcomes == ["k:a", "k:b", "k:d", "k:e"]
        if isinstance(error, Permanent):
            assert failure is error
        else:
            assert isinstance(failure, Transient)
            assert failure.__cause__ is error
        await asyncio.gather(*await submit(lane, "fghij"))
    assert device.batches[-1] == "fghij"


@in_loop
async def test_a_missing_result_is_an_error_and_not_another_items_result() -> None:
    def device(key: str, items: Sequence[str]) -> list[str]:
        return [heard(key, item) for item in items if item != "b"]

    async with batching(device) as batcher, batcher.lane() as lane:
        asked = await submit(lane, "abcd")
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(outcomes.pop(1), Transient)
        assert outcomes == ["k:a", "k:c", "k:d"]


@in_loop
async def test_an_error_that_nobody_looks_at_makes_no_noise() -> None:
    device = QuickDevice(lambda _: Poison())
    async with batching(device) as batcher, batcher.lane() as lane:
        *_, last = await submit(lane, "abcd")
        with pytest.raises(Transient):
            await last


@in_loop
async def test_a_batcher_that_was_not_used_closes() -> None:
    async with batching(QuickDevice()) as batcher:
        assert batcher.totals.full == 0


@in_loop
async def test_the_totals_say_how_full_the_batches_were() -> None:
    device = QuickDevice(lambda items: TooLarge() if len(items) > 2 else None)
    async with batching(device) as batcher, batcher.lane() as lane:
        await asyncio.gather(*await submit(lane, "abcd"))
        totals = batcher.totals
        assert (totals.batches, totals.items, totals.full) == (2, 4, 0.5)
        assert totals.seconds > 0


@dataclass(frozen=True)
class Call:
    """What a caller submits: a key and a pause before each item; and after how many it leaves."""

    items: list[tuple[str, int]]
    leaves_after: int | None


calls = st.builds(
    Call,
    st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 3)), max_size=12),
    st.none() | st.integers(0, 12),
)


@dataclass
class StrictDevice:
    """Refuses batches over its memory, and every batch that holds a poisoned item."""

    memory: int
    poisoned: set[tuple[int, int]]
    batches: list[tuple[str, Sequence[tuple[int, int]]]] = field(default_factory=list)

    def __call__(self, key: str, items: Sequence[tuple[int, int]]) -> list[tuple[str, int, int]]:
        self.batches.append((key, items))
        if len(items) > self.memory:
            raise TooLarge
        if self.poisoned.intersection(items):
            raise Poison
        return [(key, *item) for item in items]


@given(
    calls=st.lists(calls, max_size=5),
    memories=st.lists(st.integers(1, 6), min_size=1, max_size=2),
    poisoned=st.sets(st.tuples(st.integers(0, 4), st.integers(0, 11)), max_size=3),
    size=st.integers(1, 6),
    depth=st.integers(1, 8),
    wait=st.sampled_from([0, 0.001]),
)
def test_however_calls_meet_every_item_gets_its_own_result(  # noqa: PLR0913 - what may vary
    *,
    calls: list[Call],
    memories: list[int],
    poisoned: set[tuple[int, int]],
    size: int,
    depth: int,
    wait: float,
) -> None:
    devices = [StrictDevice(memory, poisoned) for memory in memories]
    batcher: Batcher[str, tuple[int, int], tuple[str, int, int]] = Batcher(
        devices, size=size, deadline=wait, lanes=5, depth=depth
    )

    async def caller(number: int, call: Call) -> None:
        asked = []
        async with batcher.lane() as lane:
            for index, (key, pause) in enumerate(call.items[: call.leaves_after]):
                for _ in range(pause):
                    await asyncio.sleep(0)
                asked.append(await lane.submit(key, (number, index)))
            if call.leaves_after is not None:
                return
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
        for index, ((key, _), outcome) in enumerate(zip(call.items, outcomes, strict=True)):
            if (number, index) in poisoned:
                assert isinstance(outcome, Transient)
            else:
                assert outcome == (key, number, index)

    async def work() -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(caller(number, call) for number, call in enumerate(calls)))
        await batcher.close()

    asyncio.run(work())
    for device in devices:
        for key, items in device.batches:
            assert 0 < len(items) <= size
            assert all(calls[number].items[index][0] == key for number, index in items)
