"""How long a request waits for a result: while its client is there, and the process goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

MOST_WAITING = 200
"""Requests that wait for a result at the same time; a further one is answered at once."""


@asynccontextmanager
async def end_of_waiting(request: Request) -> AsyncIterator[asyncio.Event]:
    """Yield an event that is set when the client has gone or the process begins to drain.

    The request's body must have been read to its end.
    """
    end = asyncio.Event()
    drain: asyncio.Event = getattr(request.state, "drain_begun", asyncio.Event())
    watches = [
        asyncio.create_task(_set_when_gone(end, request)),
        asyncio.create_task(_set_with(end, drain)),
    ]
    try:
        yield end
    finally:
        for watch in watches:
            watch.cancel()


async def _set_when_gone(end: asyncio.Event, request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    end.set()


async def _set_with(end: asyncio.Event, other: asyncio.Event) -> None:
    await other.wait()
    end.set()
