"""The clock of the sweep: it ticks on, whatever happens to a tick."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from infra.dispatcher.function_client import FunctionClient
from infra.dispatcher.settings import SweepSettings
from infra.dispatcher.sweep_clock import post_ticks
from tests.fakes.function import FakeFunction
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def ticking(
    client: FunctionClient, url: str = "http://sweep.test/here", interval: float = 0.001
) -> AsyncIterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as logs:
        clock = asyncio.create_task(post_ticks(client, SweepSettings(url=url, interval=interval)))
        try:
            yield logs
            assert not clock.done()
        finally:
            clock.cancel()
            await asyncio.wait({clock})


def words(logs: list[MutableMapping[str, Any]]) -> list[str]:
    return [line["event"] for line in logs]


async def test_each_tick_is_an_event_of_its_own_as_a_ping_source_sends_it() -> None:
    sweep = FakeFunction()
    async with ticking(sweep.client):
        await until(lambda: len(sweep.received) > 2)
    first, second, *_ = sweep.received
    assert str(first.url) == "http://sweep.test/here"
    assert first.headers["ce-type"] == "dev.knative.sources.ping"
    assert first.content == b""
    assert first.headers["ce-id"] != second.headers["ce-id"]


async def test_trouble_and_its_end_are_logged_once_each() -> None:
    sweep = FakeFunction(204, 500, 500, 204)
    async with ticking(sweep.client) as logs:
        await until(lambda: len(sweep.received) > 5)
    assert words(logs) == ["sweep_failed", "sweep_recovered"]


async def test_a_surprise_is_logged_as_a_defect_and_the_clock_ticks_on() -> None:
    sweep = FakeFunction(RuntimeError("a defect"), 204)
    async with ticking(sweep.client) as logs:
        await until(lambda: len(sweep.received) > 3)
    assert words(logs) == ["defect", "sweep_failed", "sweep_recovered"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://[/", "no address", "ftp://x/"])
async def test_a_bad_address_is_reported_and_does_not_stop_the_clock(url: str) -> None:
    async with FunctionClient.open(1) as client, ticking(client, url) as logs:
        await until(lambda: "sweep_failed" in words(logs))


async def test_a_tick_follows_the_one_before_at_the_interval_and_never_beside_it() -> None:
    sweep = FakeFunction()
    clock = asyncio.get_running_loop().time
    started = clock()
    async with ticking(sweep.client, interval=0.02):
        await until(lambda: len(sweep.received) == 4)
    assert clock() - started >= 0.08
    assert sweep.most_at_once == 1


async def test_without_an_address_there_is_no_clock() -> None:
    sweep = FakeFunction()
    async with asyncio.timeout(5):
        await post_ticks(sweep.client, SweepSettings(url=None, interval=0.001))
    assert not sweep.received


def test_a_lost_event_is_looked_for_every_few_seconds() -> None:
    assert SweepSettings().interval == 5
