"""The server of a function: HTTP until SIGTERM, then a drain."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Literal, TypeAlias, cast

import uvicorn
from functions_framework.aio import create_asgi_app
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from shared.settings import ServeSettings, read_settings
from shared.telemetry import configure_logging

HttpProtocol: TypeAlias = Callable[..., asyncio.Protocol]
PROBES = {"alive", "live", "ready", "health", "metrics"}
"""Last segments of the paths that are probes and no work."""
STOPPING = "This process is stopping; try again."
DRAIN_BEGUN = "drain_begun"
"""Name in a request's state of the event that is set when the process begins to drain."""
CUT_OFF_LIMIT = 3.0
"""Seconds that requests have for their answer once the grace is over."""
TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"retry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


def refuse_plainly() -> bytes:
    """Return the answer to a connection too many: a 503 without a body."""
    return TOO_MANY_CONNECTIONS


def serve(
    source: str,
    target: str = "handle",
    http: HttpProtocol | Literal["auto"] = "auto",
    refusal: Callable[[], bytes] = refuse_plainly,
) -> None:
    """Serve a functions-framework target under uvicorn until SIGTERM, then let work finish.

    functions-framework's own gunicorn would kill long work 30 s after SIGTERM. `FUNCTION_TARGET`
    picks another target of the same file, as it does for functions-framework itself. `http` is
    the protocol of a connection, `refusal` the answer to a connection too many.
    """
    configure_logging()
    settings = read_settings(ServeSettings)
    app = Draining(create_asgi_app(os.environ.get("FUNCTION_TARGET", target), source))
    protocol = AutoHTTPProtocol if http == "auto" else http
    limited = partial(limited_protocol, protocol, settings.max_connections, refusal)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=cast("type[asyncio.Protocol]", limited),
        timeout_graceful_shutdown=settings.grace,
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
    )
    Server(config, app).run()


class Draining:
    """ASGI middleware that counts requests at work, and answers new ones 503 once it drains.

    Probes are always answered: a process that drains is alive, and not ready. A request that only
    waits may end early: `request.state.drain_begun` is an event that is set when the drain begins.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.at_work = 0
        self._begun = asyncio.Event()
        self._app = app

    @property
    def draining(self) -> bool:
        return self._begun.is_set()

    def begin(self) -> None:
        """Begin to drain."""
        self._begun.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_probe(scope) and not (self.draining and scope["path"].endswith("/ready")):
            await self._app(scope, receive, send)
        elif self.draining:
            await _stopping(scope, receive, send)
        else:
            await self._work(scope, receive, send)

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.at_work += 1
        scope.setdefault("state", {})[DRAIN_BEGUN] = self._begun
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self.draining:
                raise
            # The grace is over, which is not the call's fault. An answer under way breaks off.
            with suppress(RuntimeError):
                await _stopping(scope, receive, send)
        finally:
            self.at_work -= 1


def is_probe(scope: Scope) -> bool:
    """Return whether the request is a probe."""
    return str(scope["path"]).rpartition("/")[2] in PROBES


_stopping = JSONResponse(
    {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": STOPPING,
        "error": "unavailable",
        "message": STOPPING,
        "code": 503,
    },
    503,
    {"Retry-After": "5", "Connection": "close"},
    "application/problem+json",
)


class Server(uvicorn.Server):
    """uvicorn's server that listens until no request is at work after SIGTERM, or grace is over.

    uvicorn itself closes its listener at once: a probe then takes the process for dead.
    """

    def __init__(self, config: uvicorn.Config, app: Draining) -> None:
        super().__init__(config)
        self._app = app
        self._deadline = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; Ctrl-C while it drains ends it at once."""
        del frame
        if not self._app.draining:
            self._app.begin()
            self._deadline = time.monotonic() + (self.config.timeout_graceful_shutdown or 0)
        elif sig == signal.SIGINT:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; uvicorn asks ten times a second."""
        if self._app.draining and (not self._app.at_work or time.monotonic() > self._deadline):
            left = max(0, int(self._deadline - time.monotonic()))
            self.config.timeout_graceful_shutdown = left
            return True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down, and let requests that were cut off send their answer.

        uvicorn itself does not wait for them, and the end of the loop would cut them off again.
        """
        await super().shutdown(sockets)
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=CUT_OFF_LIMIT)


def limited_protocol(
    protocol: HttpProtocol,
    most: int,
    refusal: Callable[[], bytes],
    *,
    server_state: uvicorn.server.ServerState,
    **given: Any,  # noqa: ANN401 - uvicorn's
) -> asyncio.Protocol:
    """Return the protocol of a new connection; beyond `most` connections one that refuses it."""
    if len(server_state.connections) >= most:
        return _Full(refusal())
    return protocol(server_state=server_state, **given)


class _Full(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(self._answer)
        transport.close()
