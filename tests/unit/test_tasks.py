import asyncio

import pytest

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
