"""The access log: one line per HTTP request that is neither a delivery nor a probe."""

import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from shared.serving import is_probe

Answer = Callable[[Request], Awaitable[Response]]
REQUEST_ID = "X-Request-Id"
logger = structlog.get_logger()


class AccessLog:
    """ASGI middleware that logs a line per request, with the values bound while it ran.

    The request's id is the client's own `X-Request-Id`, or a new one; it is in the answer, in
    `request.state.request_id`, and in every line that the request logs. An exception that
    nobody expected is part of the line and is answered by `crashed`; it goes no further, because
    functions-framework and uvicorn would each log it again.
    """

    def __init__(self, app: ASGIApp, crashed: Answer) -> None:
        self._app = app
        self._crashed = crashed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = Headers(scope=scope).get(REQUEST_ID) or str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        await _Exchange(request_id, send).run(self._app, self._crashed, scope, receive)


class _Exchange:
    """One request and its answer."""

    def __init__(self, request_id: str, send: Send) -> None:
        self._request_id = request_id
        self._send = send
        self._status: int | None = None

    async def run(self, app: ASGIApp, crashed: Answer, scope: Scope, receive: Receive) -> None:
        started = time.perf_counter()
        failure: Exception | None = None
        try:
            await app(scope, receive, self._noted)
        except Exception as error:  # noqa: BLE001 - it is logged with its request
            failure = error
            if self._status is None:
                await (await crashed(Request(scope)))(scope, receive, self._noted)
        self._log(scope, time.perf_counter() - started, failure)

    async def _noted(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID] = self._request_id
        await self._send(message)

    def _log(self, scope: Scope, seconds: float, failure: Exception | None) -> None:
        if failure is None and is_probe(scope):
            return
        log = logger.info if failure is None else logger.error
        log(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=self._status,
            ms=round(seconds * 1000, 1),
            exc_info=failure,
        )
