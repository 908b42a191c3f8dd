"""What the API's routes are given besides the request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from functions.ingest.figures import UploadCounter
from functions.ingest.ports import Ports
from functions.ingest.settings import Settings


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What one API is made of.

    `open_ports` opens them once, with the first request. It raises `Unavailable` if it cannot.
    """

    open_ports: Callable[[], Awaitable[Ports]]
    settings: Settings
    uploads: UploadCounter


async def dependencies(request: Request) -> Dependencies:
    """The dependencies of the API that got the request."""
    found: Dependencies = request.app.state.dependencies
    return found


CurrentDependencies: TypeAlias = Annotated[Dependencies, Depends(dependencies)]


async def ports(current: CurrentDependencies) -> Ports:
    """The open ports."""
    return await current.open_ports()


OpenPorts: TypeAlias = Annotated[Ports, Depends(ports)]
