"""Lanes of the batcher: room, leaving, cancelling, closing."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.errors import Unavailable
from tests.support.batching import (
    Poison,
    QuickDevice,
    SteppedDevice,
    TextBatcher,
    batching,
    in_loop,
    submit,
    turn_the_loop,
)


@pytest.fixture
def device() -> SteppedDevice:
    return SteppedDevice()


@in_loop
async def test_what_waits_in_a_lane_that_is_left_is_dropped(device: SteppedDevice) -> None:
    async def leave(batcher: TextBatcher) -> list[asyncio.Future[str]]:
        async with batcher.lane() as lane:
            asked = await submit(lane, "aaaaaa")
            assert await device.begun() == ("k", "aaaa")
            return asked

    async with batching(device) as batcher, batcher.lane() as other:
        asked = await leave(batcher)
        assert all(future.cancelled() for future in asked)
        asked = await submit(other, "bbbb")
        assert await device.next() == ("k", "bbbb")
        device.end()
        assert await asyncio.gather(*asked) == ["k:b"] * 4


@in_loop
async def test_a_failure_in_a_lane_that_was_left_goes_to_nobody(device: SteppedDevice) -> None:
    def failing(key: str, items: Sequence[str]) -> list[str]:
        device(key, items)
        raise Poison

    async with batching(failing, size=1) as batcher:
        async with batcher.lane() as lane:
            await submit(lane, "a")
            await device.begun()
        device.end()


@in_loop
async def test_a_cancelled_caller_leaves_and_its_blocked_submit_is_cancelled(
    device: SteppedDevice,
) -> None:
    blocked: list[asyncio.Task[list[asyncio.Future[str]]]] = []

    async def call(batcher: TextBatcher) -> None:
        async with batcher.lane() as lane:
            await submit(lane, "aa")
            blocked.append(asyncio.create_task(submit(lane, "a")))
            await asyncio.Event().wait()

    async with batching(device, size=2, depth=2, lanes=1) as batcher:
        caller = asyncio.create_task(call(batcher))
        await device.begun()
        caller.cancel()
        await asyncio.wait([caller, *blocked])
        assert caller.cancelled()
        assert blocked[0].cancelled()
        async with batcher.lane():
            pass
        device.end()


@in_loop
async def test_a_submit_into_a_lane_that_was_left_is_cancelled() -> None:
    async with batching(QuickDevice()) as batcher:
        async with batcher.lane() as lane:
            pass
        with pytest.raises(asyncio.CancelledError):
            await lane.submit("k", "a")


@in_loop
async def test_an_item_taken_back_is_not_worked_on_and_makes_room(device: SteppedDevice) -> None:
    async with batching(device, size=2, depth=4) as batcher, batcher.lane() as lane:
        asked = await submit(lane, "abcd")
        assert await device.begun() == ("k", "ab")
        asked[2].cancel()
        await submit(lane, "e")
        assert await device.next() == ("k", "de")
        device.end()


@in_loop
async def test_a_cancelled_submit_takes_no_room(device: SteppedDevice) -> None:
    async with batching(device, size=1, depth=1) as batcher, batcher.lane() as lane:
        await submit(lane, "a")
        given_up = asyncio.create_task(submit(lane, "b"))
        kept = asyncio.create_task(submit(lane, "c"))
        assert await device.begun() == ("k", "a")
        given_up.cancel()
        assert await device.next() == ("k", "c")
        device.end()
        assert await asyncio.gather(*await kept) == ["k:c"]
        assert given_up.cancelled()


@in_loop
async def test_a_full_lane_blocks_its_own_caller_only(device: SteppedDevice) -> None:
    async with (
        batching(device, size=2, depth=2) as batcher,
        batcher.lane() as left,
        batcher.lane() as right,
    ):
        await submit(left, "ab")
        blocked = asyncio.create_task(submit(left, "cd"))
        assert await device.begun() == ("k", "ab")
        assert left.full
        await submit(right, "e")
        assert not blocked.done()
        device.end()
        await blocked
        assert await device.begun() == ("k", "ec")
        device.end(2)


@in_loop
async def test_one_caller_too_many_is_told_to_come_again() -> None:
    async with batching(QuickDevice(), lanes=2) as batcher, batcher.lane():
        async with batcher.lane():
            with pytest.raises(Unavailable, match="All 2 lanes"):
                await batcher.lane().__aenter__()
        async with batcher.lane():
            pass


@in_loop
async def test_close_lets_the_batch_in_work_end_and_refuses_the_rest(device: SteppedDevice) -> None:
    async with (
        batching(device, size=2, depth=2) as batcher,
        batcher.lane() as lane,
        batcher.lane() as other,
    ):
        in_work = await submit(lane, "ab")
        assert await device.begun() == ("k", "ab")
        blocked = asyncio.create_task(submit(lane, "c"))
        waiting, _ = await submit(other, "de")  # at the second one nobody ever looks
        closing = asyncio.create_task(batcher.close())
        for refused in (waiting, blocked, lane.submit("k", "e")):
            with pytest.raises(Unavailable):
                await refused
        with pytest.raises(Unavailable):
            await batcher.lane().__aenter__()
        assert not closing.done()
        device.end()
        await closing
        assert await asyncio.gather(*in_work) == ["k:a", "k:b"]


@in_loop
async def test_a_close_that_is_cancelled_still_ends_everything(device: SteppedDevice) -> None:
    async with batching(device, size=1) as batcher, batcher.lane() as lane:
        asked = await submit(lane, "a")
        await device.begun()
        closing = asyncio.create_task(batcher.close())
        await turn_the_loop()
        closing.cancel()
        await asyncio.wait([closing])
        device.end()
        assert await asyncio.gather(*asked) == ["k:a"]
