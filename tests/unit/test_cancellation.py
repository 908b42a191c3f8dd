import asyncio

import pytest

from shared.cancellation import cancellable


@pytest.mark.parametrize("turns", range(8))
def test_a_cancellation_that_comes_with_the_answer_is_heeded(turns: int) -> None:
    async def scenario() -> None:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(cancellable(asyncio.wait_for(answer, 60)))
        await let_pass(4)
        answer.set_result("consumer")
        await let_pass(turns)
        was_waiting = waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled() == was_waiting

    asyncio.run(scenario())


async def let_pass(turns: int) -> None:
    """Let everybody else go on for so many turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


def test_an_answer_is_passed_on_and_so_is_a_failure() -> None:
    async def divided(by: int) -> float:
        return 1 / by

    async def scenario() -> None:
        assert await cancellable(divided(4)) == 0.25
        with pytest.raises(ZeroDivisionError):
            await cancellable(divided(0))

    asyncio.run(scenario())
