"""Composition root of merge."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.merge.handler import merge
from functions.merge.settings import Settings
from shared.delivery import Delivery
from shared.runtime import Parts, Runtime, bus_and_blobs
from shared.serving import serve
from shared.settings import StoreSettings, read_settings

stores = read_settings(StoreSettings)


@asynccontextmanager
async def compose() -> AsyncIterator[Parts]:
    async with bus_and_blobs(stores) as (bus, blobs, checks):
        yield Parts(bus, {"blobs": blobs}, checks)


runtime = Runtime(compose, {"/": Delivery(merge, concurrency=read_settings(Settings).concurrency)})


@functions_framework.aio.http
async def handle(request: Request) -> Response:
    return await runtime.respond(request)


if __name__ == "__main__":
    serve(__file__)
