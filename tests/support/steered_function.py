"""A function that tests run in a process of its own; files in `FOLDER` steer it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import functions_framework.aio
import structlog
from starlette.requests import Request
from starlette.responses import Response

from events import Envelope, Event, RecordingReceived
from shared.delivery import Delivery
from shared.errors import Unavailable
from shared.function import function
from shared.runtime import Parts, Runtime
from shared.serving import serve

FOLDER = Path(os.environ["FOLDER"])


class NoBroker:
    async def publish(self, envelope: Envelope[Event]) -> None:
        raise AssertionError(f"Nobody publishes: {envelope}")


@function("example")
async def example(_: RecordingReceived, *, folder: Path) -> None:
    (folder / "begun").touch()
    while not (folder / "go-on").exists():  # noqa: ASYNC110 - only a file reaches this process
        await asyncio.sleep(0.01)


@asynccontextmanager
async def compose() -> AsyncIterator[Parts]:
    name = os.environ.get("PORT_NAME", "folder")
    try:
        yield Parts(NoBroker(), {name: FOLDER}, {"broker": check})
    finally:
        await asyncio.sleep(0)
        structlog.get_logger().info("closed")
        (FOLDER / "closed").touch()


async def check() -> None:
    if (FOLDER / "away").exists():
        raise Unavailable("nats://user:secret@host is away", part="The broker")
    if (FOLDER / "broken").exists():
        raise ZeroDivisionError


runtime = Runtime(compose, {"/": Delivery(example, concurrency=2)})


@functions_framework.aio.http
async def handle(request: Request) -> Response:
    return await runtime.respond(request)


if __name__ == "__main__":
    serve(__file__)
