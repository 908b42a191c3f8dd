"""The dependencies of the API's routes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from functions.ingest.http.waiting import MOST_WAITING
from functions.ingest.metrics import UploadCounter
from functions.ingest.ports import Ports
from functions.ingest.settings import Settings


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The parts that all routes of one API share.

    `open_ports` returns the ports, which the first request opens. It raises `Unavailable` if it
    cannot open them. `waiting_places` are those of requests that wait for a result.
    """

    open_ports: Callable[[], Awaitable[Ports]]
    settings: Settings
    uploads: UploadCounter
    waiting_places: asyncio.Semaphore = field(
        default_factory=partial(asyncio.Semaphore, MOST_WAITING)
    )


async def dependencies(request: Request) -> Dependencies:
    """Return the dependencies of the API that got the request."""
    found: Dependencies = request.app.state.dependencies
    return found


CurrentDependencies: TypeAlias = Annotated[Dependencies, Depends(dependencies)]


async def ports(current: CurrentDependencies) -> Ports:
    """Return the open ports."""
    return await current.open_ports()


OpenPorts: TypeAlias = Annotated[Ports, Depends(ports)]
