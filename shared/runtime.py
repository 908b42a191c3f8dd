"""The runtime between functions-framework and a handler: lifespan, probes and routes."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.blobs import ObjectBlobs
from shared.bus import Bus
from shared.errors import PocWhispError, Unavailable
from shared.ports import Check, Publisher
from shared.settings import StoreSettings

T = TypeVar("T")
logger = structlog.get_logger()


@dataclass(frozen=True)
class Parts:
    """The product of a composition root: the publisher, the ports by name, the checks by part."""

    publisher: Publisher
    ports: Mapping[str, Any]
    checks: Mapping[str, Check] = field(default_factory=dict)


class Lifespan(Generic[T]):
    """A resource that is opened once, on first use, and closed when the event loop ends.

    It is lazy because functions-framework runs no start-up hook; the readiness probe is the first
    use. It lives in a task of its own, which asyncio cancels at the loop's end, so the task that
    opened it also closes it.
    """

    def __init__(self, compose: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._compose = compose
        self._opened: asyncio.Future[T] | None = None
        self._task: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """Return the resource. Raises what opening it raised; the next call then tries again."""
        if self._opened is None or (self._opened.done() and self._opened.exception()):
            self._opened = asyncio.get_running_loop().create_future()
            # Without the first caller's context: its log lines are about one request only.
            self._task = asyncio.create_task(
                self._live(self._opened), context=contextvars.Context()
            )
        return await asyncio.shield(self._opened)

    async def _live(self, opened: asyncio.Future[T]) -> None:
        try:
            async with self._compose() as value:
                opened.set_result(value)
                await asyncio.Event().wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)


Route: TypeAlias = Callable[[Request, Parts], Awaitable[Response]]


@runtime_checkable
class NeedsPorts(Protocol):
    """A route that needs exactly certain ports."""

    def check_ports(self, given: Mapping[str, Any]) -> None:
        """Raise `TypeError` unless `given` are the ports."""
        ...


class Runtime:
    """Answers a function's HTTP requests: `/alive`, `/ready`, `/metrics`, and its routes."""

    def __init__(
        self,
        compose: Callable[[], AbstractAsyncContextManager[Parts]],
        routes: Mapping[str, Route],
    ) -> None:
        self._compose = compose
        self._parts = Lifespan(self._composed)
        self._routes = routes
        self._complaint = ""

    async def respond(self, request: Request) -> Response:
        """Answer a request. An exception that no route expected is logged once and answered 500."""
        try:
            return await self._respond(request)
        except Exception:
            logger.exception("crashed", method=request.method, path=request.url.path)
            return unexpected_error()

    async def _respond(self, request: Request) -> Response:
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
        except Unavailable as error:
            self._complain(error.reason)
            return unavailable_response(error)
        return await route(request, parts)

    @asynccontextmanager
    async def _composed(self) -> AsyncIterator[Parts]:
        async with self._compose() as parts:
            for route in self._routes.values():
                if isinstance(route, NeedsPorts):
                    route.check_ports(parts.ports)
            yield parts

    async def _ready(self) -> Response:
        try:
            for check in (await self._parts.get()).checks.values():
                await check()
        except Unavailable as error:
            self._complain(error.reason)
            return unavailable_response(error)
        self._complaint = ""
        return JSONResponse({"status": "ready"})

    def _complain(self, reason: str) -> None:
        """Log why this function is not ready: once, and not at every probe."""
        if reason != self._complaint:
            logger.warning("not_ready", reason=reason)
        self._complaint = reason


def unavailable_response(error: Unavailable) -> Response:
    """Return a 503, after which the event is sent again as long as it takes, and never parked."""
    return JSONResponse({"error": error.code, "message": error.answer}, 503, {"Retry-After": "5"})


def unexpected_error() -> Response:
    """Return a 500 whose reason is in the log alone."""
    return JSONResponse(
        {"error": PocWhispError.code, "message": "An unexpected error; it is in the log."}, 500
    )


@asynccontextmanager
async def bus_and_blobs(
    settings: StoreSettings,
) -> AsyncIterator[tuple[Bus, ObjectBlobs, dict[str, Check]]]:
    """Open the stores that every function of the pipeline uses, and their checks."""
    async with Bus.connect(settings.nats_url) as bus:
        blobs = ObjectBlobs.open(settings.blobs_url, reserve=settings.blobs_reserve_bytes)
        yield bus, blobs, {"broker": bus.check, "blobs": blobs.check}
