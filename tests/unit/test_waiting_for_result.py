"""How ingest waits for a result: with few reads, and only while somebody needs the answer."""

import asyncio
import json
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from functions.ingest import handler
from functions.ingest.handler import wait_for_end
from functions.ingest.ports import Ports
from shared.ports import utc_now
from tests.support.api import PATH, MemoryApi, MemoryBroker, MemoryRecord, session_of
from tests.support.examples import wav_file
from tests.support.waiting import until

RECORDING = UUID(int=7)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """The log, of which nothing is printed."""
    with capture_logs() as lines:
        yield lines


@dataclass
class Request:
    """One upload to the API as a server makes it; the client stays until `gone` is set."""

    api: MemoryApi
    query: str = "wait=60"
    drain_begun: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[Message] = field(default_factory=list)
    uploaded: bool = False

    async def receive(self) -> Message:
        if self.uploaded:
            await self.gone.wait()
            return {"type": "http.disconnect"}
        self.uploaded = True
        return {"type": "http.request", "body": wav_file(), "more_body": False}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self) -> None:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": PATH,
            "raw_path": PATH.encode(),
            "query_string": self.query.encode(),
            "headers": [(b"content-type", b"audio/wav")],
            "state": {"drain_begun": self.drain_begun},
        }
        await self.api.app()(scope, self.receive, self.send)

    @property
    def answer(self) -> tuple[int, Any]:
        start, body = self.sent
        return start["status"], json.loads(body["body"])


async def waiting(request: Request) -> asyncio.Task[None]:
    """The request as it waits for the result."""
    task = asyncio.create_task(request.run())
    await until(lambda: "state" in request.api.record.calls)
    return task


ENDS: list[tuple[str, Callable[[Request, asyncio.Task[None]], object]]] = [
    ("the client goes", lambda request, _: request.gone.set()),
    ("the process drains", lambda request, _: request.drain_begun.set()),
    ("the grace is over", lambda _, task: task.cancel()),
]


@pytest.mark.parametrize(("reason", "end"), ENDS, ids=[reason for reason, _ in ENDS])
def test_a_wait_ends_with_where_the_result_will_be(
    reason: str, end: Callable[[Request, asyncio.Task[None]], object]
) -> None:
    async def work() -> None:
        request = Request(MemoryApi())
        task = await waiting(request)
        end(request, task)
        async with asyncio.timeout(5):
            await task
        status, body = request.answer
        [recording] = request.api.record.sessions
        assert (status, body["session_id"]) == (202, str(recording)), reason

    asyncio.run(work())


def test_a_client_beyond_those_that_may_wait_is_answered_at_once() -> None:
    async def work() -> None:
        api = MemoryApi(waiting_places=asyncio.Semaphore(0))
        request = Request(api)
        async with asyncio.timeout(5):
            await request.run()
        assert request.answer[0] == 202
        assert api.record.calls.count("state") == 0

    asyncio.run(work())


async def waited(record: MemoryRecord, seconds: float = 60.0) -> str | None:
    broker = MemoryBroker()
    ports = Ports(record, MemoryApi().blobs, broker, broker, utc_now, {})
    async with asyncio.timeout(5):
        found = await wait_for_end(ports, "default", RECORDING, seconds, asyncio.Event())
    return None if found is None else found.status


def test_while_it_waits_only_the_state_is_read_and_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handler, "FIRST_INTERVAL", 0.001)
    monkeypatch.setattr(handler, "LONGEST_INTERVAL", 0.004)
    limits: list[float] = []
    first = handler._first  # noqa: SLF001

    async def noted(seconds: float, *events: asyncio.Event) -> None:
        limits.append(seconds)
        await first(seconds, *events)

    monkeypatch.setattr(handler, "_first", noted)
    record = MemoryRecord({RECORDING: session_of(RECORDING)})

    def complete() -> None:
        if len(limits) == 6:
            record.sessions[RECORDING] = session_of(RECORDING, "completed")

    record.before["state"] = complete
    assert asyncio.run(waited(record)) == "completed"
    assert limits == pytest.approx([0.001, 0.0015, 0.00225, 0.003375, 0.004, 0.004])
    assert record.calls == ["state"] * 7 + ["find"]


@pytest.mark.parametrize("seconds", [0, 0.005])
def test_a_recording_that_has_not_ended_is_returned_as_it_is(seconds: float) -> None:
    record = MemoryRecord({RECORDING: session_of(RECORDING, "processing")})
    assert asyncio.run(waited(record, seconds)) == "processing"
    assert asyncio.run(waited(MemoryRecord(), seconds)) is None
