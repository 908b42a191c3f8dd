"""What stands between functions-framework and a handler: lifecycle, probes, deliveries."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import uvicorn
from functions_framework.aio import create_asgi_app
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from shared.blobs import ObjectBlobs
from shared.bus import Bus
from shared.errors import PocWhispError
from shared.ports import Check, Publisher
from shared.settings import BlobSettings, BusSettings, ServeSettings
from shared.telemetry import configure_logging

T = TypeVar("T")
_opened: list["Opening[Any]"] = []


@dataclass(frozen=True)
class Parts:
    """What a composition root made: the publisher, the ports by name, what must answer."""

    publisher: Publisher
    ports: Mapping[str, Any]
    checks: Mapping[str, Check] = field(default_factory=dict)


class Opening(Generic[T]):
    """Something opened once, on first use, and closed when the server has stopped.

    Lazily, because functions-framework runs no start-up hook; the readiness probe is the first use.
    """

    def __init__(self, compose: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._compose = compose
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._value: T | None = None

    async def get(self) -> T:
        async with self._lock:
            if self._value is None:
                self._value = await self._stack.enter_async_context(self._compose())
                _opened.append(self)
            return self._value

    async def close(self) -> None:
        await self._stack.aclose()


Route: TypeAlias = Callable[[Request, Parts], Awaitable[Response]]


class Runtime:
    """Answers a function's HTTP requests: `/alive`, `/ready`, `/metrics`, and its routes."""

    def __init__(
        self,
        compose: Callable[[], AbstractAsyncContextManager[Parts]],
        routes: Mapping[str, Route],
    ) -> None:
        self._parts = Opening(compose)
        self._routes = routes

    async def respond(self, request: Request) -> Response:
        if request.url.path == "/alive":
            return JSONResponse({"status": "alive"})
        if request.url.path == "/metrics":
            return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
        if request.url.path == "/ready":
            return await self._ready()
        route = self._routes.get(request.url.path)
        if route is None or request.method != "POST":
            return JSONResponse(
                {"error": "not_found", "message": f"POST to one of {sorted(self._routes)}."}, 404
            )
        try:
            parts = await self._parts.get()
        except PocWhispError as error:
            return unavailable(error)
        return await route(request, parts)

    async def _ready(self) -> Response:
        try:
            for check in (await self._parts.get()).checks.values():
                await check()
        except PocWhispError as error:
            return unavailable(error)
        return JSONResponse({"status": "ready"})


def unavailable(error: PocWhispError) -> Response:
    """503: the pusher tries again for an hour at least and never parks."""
    return JSONResponse({"error": error.code, "message": str(error)}, 503, {"Retry-After": "5"})


@asynccontextmanager
async def bus_and_blobs() -> AsyncIterator[tuple[Bus, ObjectBlobs, dict[str, Check]]]:
    """The two stores that every function of the pipeline uses, and their checks."""
    async with Bus.connect(BusSettings().nats_url) as bus:
        settings = BlobSettings()
        blobs = ObjectBlobs.open(settings.blobs_url, reserve=settings.blobs_reserve_bytes)
        yield bus, blobs, {"broker": bus.check, "blobs": blobs.check}


def serve(
    source: str, target: str = "handle", http: type[asyncio.Protocol] | Literal["auto"] = "auto"
) -> None:
    """Serve a functions-framework target under uvicorn until SIGTERM, then let work finish.

    functions-framework's own gunicorn would kill long work 30 s after SIGTERM. `FUNCTION_TARGET`
    picks another target of the same file, as it does for functions-framework itself. `http` is
    what speaks HTTP/1.1 on a connection.
    """
    configure_logging()
    settings = ServeSettings()
    app = create_asgi_app(os.environ.get("FUNCTION_TARGET", target), source)
    _Server(_uvicorn_config(app, settings, http)).run()


def _uvicorn_config(
    app: ASGIApp, settings: ServeSettings, http: type[asyncio.Protocol] | Literal["auto"]
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=http,
        timeout_graceful_shutdown=settings.grace,
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        while _opened:
            await _opened.pop().close()
