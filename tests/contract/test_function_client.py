"""The dispatcher's client against a function that answers, hangs, drains or dies."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn

from infra.dispatcher import function_client
from infra.dispatcher.delivery_request import DeliveryRequest
from infra.dispatcher.function_client import KEEPALIVE_EXPIRY, FunctionClient
from infra.dispatcher.heartbeat import Liveness
from infra.dispatcher.retry_policy import AttemptOutcome, FunctionAnswer, NoAnswer
from tests.support.servers import DIE, ScriptedFunction
from tests.support.servers import Answer as Scripted
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

EVENT = DeliveryRequest.from_structured(
    b'{"specversion": "1.0", "id": "1", "type": "t", "source": "/s", "subject": "a b"}'
)


@pytest.fixture
async def client() -> AsyncIterator[FunctionClient]:
    async with FunctionClient.open(connect_timeout=5) as client:
        yield client


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (204, FunctionAnswer(204)),
        (503, FunctionAnswer(503)),
        ((500, b'{"error": "missing_blob"}'), FunctionAnswer(500, "missing_blob")),
        ((500, b'{"error": "Jane said no"}'), FunctionAnswer(500)),
        ((500, b"<html>"), FunctionAnswer(500)),
        (DIE, NoAnswer.DIED),
    ],
)
async def test_every_way_to_end_is_an_outcome(
    client: FunctionClient, answer: Scripted, outcome: AttemptOutcome
) -> None:
    async with ScriptedFunction(answer) as function:
        assert await client.post(function.url, EVENT, attempt=3) == outcome
    [posted] = function.received
    assert posted.headers["ce-subject"] == "a%20b"
    assert posted.headers["x-pocwhisp-attempt"] == "3"


async def test_where_nobody_listens_the_function_is_not_up(client: FunctionClient) -> None:
    assert await client.post(ScriptedFunction().url, EVENT) is NoAnswer.NOT_UP


async def test_a_function_is_alive_while_it_answers_probes(client: FunctionClient) -> None:
    async with ScriptedFunction() as function:
        assert await client.probe(function.url, 5) is Liveness.ALIVE
        function.alive.clear()
        assert await client.probe(function.url, 0.05) is Liveness.SILENT


async def test_a_function_that_takes_no_connection_drains(client: FunctionClient) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 204

    async with ScriptedFunction(slow) as function:
        posting = asyncio.create_task(client.post(function.url, EVENT))
        await until(lambda: function.received)
        function.drain()
        assert await client.probe(function.url, 5) is Liveness.DRAINING
        gate.set()
        assert await posting == FunctionAnswer(204)


async def test_a_host_that_cannot_be_found_is_silent(client: FunctionClient) -> None:
    assert await client.probe("http://no-such-host.invalid/alive", 5) is Liveness.SILENT


async def test_proxies_of_the_environment_are_not_for_deliveries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with ScriptedFunction() as function, FunctionClient.open(5) as client:
        assert await client.post(function.url, EVENT) == FunctionAnswer(204)
        assert await client.probe(function.url, 5) is Liveness.ALIVE


@pytest.mark.parametrize(("expiry", "connections"), [(60.0, 1), (0.0, 2)])
async def test_a_connection_is_used_again_only_until_it_expires(
    monkeypatch: pytest.MonkeyPatch, expiry: float, connections: int
) -> None:
    monkeypatch.setattr(function_client, "KEEPALIVE_EXPIRY", expiry)
    async with ScriptedFunction() as function, FunctionClient.open(5) as client:
        await client.post(function.url, EVENT)
        await client.post(function.url, EVENT)
    assert function.connections == connections


def test_a_connection_expires_before_the_function_closes_it() -> None:
    assert uvicorn.Config("").timeout_keep_alive - 1 >= KEEPALIVE_EXPIRY
