import asyncio
import threading

import pytest

from shared.folder import to_the_end
from shared.tasks import together


async def result(number: int, turns: int = 0) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return number


def test_results_come_in_the_order_of_the_works() -> None:
    assert asyncio.run(together(result(1, 3), result(2), result(3, 1))) == [1, 2, 3]
    assert asyncio.run(together()) == []


def test_the_first_failure_cancels_the_others_and_is_raised() -> None:
    cancelled: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("wait")
            raise

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(together(wait(), fail()))
    assert cancelled == ["wait"]


def test_a_work_that_fails_when_it_is_cancelled_does_not_hide_the_cancellation() -> None:
    async def fail_late() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ExceptionGroup("hidden", [OSError("the address is bad")]) from None

    async def scenario() -> None:
        waiting = asyncio.create_task(together(fail_late()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()

    asyncio.run(scenario())


def test_work_in_a_thread_ends_before_its_caller_however_often_that_is_cancelled() -> None:
    may_end = threading.Event()
    done: list[str] = []

    def work() -> None:
        may_end.wait(10)
        done.append("work")

    async def scenario() -> None:
        calling = asyncio.create_task(to_the_end(work))
        for _ in range(3):
            await let_pass(3)
            calling.cancel()
        await let_pass(3)
        assert not calling.done()
        may_end.set()
        await asyncio.wait({calling})
        assert calling.cancelled()
        assert done == ["work"]

    asyncio.run(scenario())


def test_works_end_before_their_caller_however_often_that_is_cancelled() -> None:
    may_end = asyncio.Event()
    done: list[str] = []

    async def tidy_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait()
            done.append("tidied up")

    async def scenario() -> None:
        calling = asyncio.create_task(together(tidy_up()))
        for _ in range(3):
            await let_pass(3)
            calling.cancel()
        await let_pass(3)
        assert not calling.done()
        may_end.set()
        await asyncio.wait({calling})
        assert calling.cancelled()
        assert done == ["tidied up"]

    asyncio.run(scenario())


async def let_pass(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
