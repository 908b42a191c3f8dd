import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.contextvars import bind_contextvars, get_contextvars

from shared.errors import Unavailable
from shared.runtime import Lifespan


class Opened:
    """Counts what is opened and closed, and by which tasks; fails while `away`."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.tasks: list[asyncio.Task[object] | None] = []
        self.closed_by: list[asyncio.Task[object] | None] = []
        self.context: dict[str, object] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def compose(self) -> AsyncIterator[str]:
        self.tasks.append(asyncio.current_task())
        self.context = get_contextvars()
        await self.gate.wait()
        if self.away:
            raise Unavailable("The broker is away.")
        try:
            yield "ports"
        finally:
            await asyncio.sleep(0)
            self.closed_by.append(asyncio.current_task())


def test_many_callers_at_once_share_what_is_opened_once() -> None:
    opened = Opened()

    async def scenario() -> list[str]:
        lifespan = Lifespan(opened.compose)
        return await asyncio.gather(*(lifespan.get() for _ in range(5)))

    assert asyncio.run(scenario()) == ["ports"] * 5
    assert len(opened.tasks) == 1


def test_it_is_closed_when_the_loop_ends_by_the_task_that_opened_it() -> None:
    opened = Opened()

    async def scenario() -> None:
        assert await Lifespan(opened.compose).get() == "ports"
        assert opened.closed_by == []

    asyncio.run(scenario())
    assert opened.closed_by == opened.tasks


def test_what_could_not_be_opened_is_tried_again_by_the_next_caller() -> None:
    opened = Opened(away=True)

    async def scenario() -> None:
        lifespan = Lifespan(opened.compose)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await lifespan.get()
        opened.away = False
        assert await lifespan.get() == "ports"

    asyncio.run(scenario())
    assert (len(opened.tasks), len(opened.closed_by)) == (3, 1)


def test_a_caller_that_goes_away_takes_nothing_from_the_others() -> None:
    opened = Opened()

    async def scenario() -> None:
        opened.gate.clear()
        lifespan = Lifespan(opened.compose)
        first, second = (asyncio.create_task(lifespan.get()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        opened.gate.set()
        assert await second == "ports"

    asyncio.run(scenario())
    assert len(opened.tasks) == 1


def test_it_knows_nothing_of_the_request_that_opened_it() -> None:
    opened = Opened()

    async def scenario() -> None:
        bind_contextvars(recording="r-1")
        await Lifespan(opened.compose).get()

    asyncio.run(scenario())
    assert opened.context == {}
