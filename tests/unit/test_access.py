import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from structlog.contextvars import bind_contextvars
from structlog.typing import EventDict

from shared.access import AccessLog


async def find(request: Request) -> Response:
    bind_contextvars(recording="r-1")
    structlog.get_logger().info("looking")
    return JSONResponse({"request_id": request.state.request_id}, 202)


async def fail(_: Request) -> Response:
    raise RuntimeError("why")


async def break_off(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        raise RuntimeError("why")

    return StreamingResponse(pieces())


async def crashed(request: Request) -> Response:
    return JSONResponse({"request_id": request.state.request_id}, 500)


APP = Starlette(
    routes=[
        Route("/find", find, methods=["GET", "POST"]),
        Route("/fail", fail),
        Route("/break-off", break_off),
        Route("/api/v1/live", find),
        Route("/api/v1/ready", fail),
    ],
    middleware=[Middleware(AccessLog, crashed=crashed)],
)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        yield lines


def ask(method: str, path: str, **headers: str) -> httpx.Response:
    """The answer; an exception that leaves the application fails the test."""

    async def answered() -> httpx.Response:
        transport = httpx.ASGITransport(APP)
        async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(answered())


def test_a_request_is_one_line_with_what_was_bound_meanwhile(logged: list[EventDict]) -> None:
    answer = ask("POST", "/find?secret=1")
    looking, line = logged
    assert (line["event"], line["method"], line["path"]) == ("request", "POST", "/find")
    assert (line["status"], line["recording"]) == (202, "r-1")
    assert line["ms"] >= 0
    assert line["request_id"] == looking["request_id"] == answer.json()["request_id"]
    assert answer.headers["x-request-id"] == line["request_id"]


def test_requests_have_ids_of_their_own_unless_the_client_gives_one(
    logged: list[EventDict],
) -> None:
    for headers in ({}, {}, {"x-request-id": "mine"}):
        ask("GET", "/find", **headers)
    first, second, third = (line["request_id"] for line in logged if line["event"] == "request")
    assert len({first, second, "mine"}) == 3
    assert third == "mine"


def test_nothing_of_a_request_is_bound_to_the_next(logged: list[EventDict]) -> None:
    async def both() -> None:
        transport = httpx.ASGITransport(APP)
        async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
            await client.get("/find")
            await client.get("/nowhere")

    asyncio.run(both())
    assert logged[-1]["status"] == 404
    assert "recording" not in logged[-1]


def test_an_unexpected_error_is_logged_once_and_answered(logged: list[EventDict]) -> None:
    answer = ask("GET", "/fail")
    (line,) = logged
    assert (line["log_level"], line["status"], str(line["exc_info"])) == ("error", 500, "why")
    assert (answer.status_code, answer.json()["request_id"]) == (500, line["request_id"])


def test_an_error_in_the_middle_of_an_answer_is_logged_once(logged: list[EventDict]) -> None:
    with pytest.raises(AssertionError):  # httpx: an answer must end
        ask("GET", "/break-off")
    (line,) = logged
    assert (line["log_level"], line["status"], str(line["exc_info"])) == ("error", 200, "why")


def test_a_probe_is_no_line_unless_it_crashes(logged: list[EventDict]) -> None:
    ask("GET", "/api/v1/live")
    assert [line["event"] for line in logged] == ["looking"]
    ask("GET", "/api/v1/ready")
    assert (logged[-1]["event"], logged[-1]["path"]) == ("request", "/api/v1/ready")
