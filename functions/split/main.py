"""Composition root of split."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.split.decoder_av import ContainerDecoder
from functions.split.handler import split
from functions.split.settings import Settings
from shared.delivery import Delivery
from shared.runtime import Parts, Runtime, bus_and_blobs
from shared.serving import serve
from shared.settings import StoreSettings, read_settings

settings = read_settings(Settings)
stores = read_settings(StoreSettings)


@asynccontextmanager
async def compose() -> AsyncIterator[Parts]:
    async with bus_and_blobs(stores) as (bus, blobs, checks):
        ports = {"blobs": blobs, "limits": settings.limits, "decoder": ContainerDecoder()}
        yield Parts(bus, ports, checks)


runtime = Runtime(compose, {"/": Delivery(split, concurrency=settings.concurrency)})


@functions_framework.aio.http
async def handle(request: Request) -> Response:
    return await runtime.respond(request)


if __name__ == "__main__":
    serve(__file__)
