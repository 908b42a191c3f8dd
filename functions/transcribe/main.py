"""Composition root of transcribe, deployed once per channel."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.transcribe.handler import transcribe
from functions.transcribe.settings import Settings
from functions.transcribe.sphinx import SphinxRecognizer
from shared.delivery import Delivery
from shared.runtime import Parts, Runtime, bus_and_blobs, serve

settings = Settings()


@asynccontextmanager
async def compose() -> AsyncIterator[Parts]:
    """Warm the recogniser, so that ready means ready."""
    recognizer = SphinxRecognizer()
    await recognizer.warm()
    async with bus_and_blobs() as (bus, blobs, checks):
        try:
            ports = {
                "blobs": blobs,
                "recognizer": recognizer,
                "serves": settings.serves,
                "degraded": ("recognizer:sphinx",) if settings.recognizer == "auto" else (),
            }
            yield Parts(bus, ports, checks)
        finally:
            await recognizer.close()


runtime = Runtime(compose, {"/": Delivery(transcribe, concurrency=settings.concurrency)})


@functions_framework.aio.http
async def handle(request: Request) -> Response:
    return await runtime.respond(request)


if __name__ == "__main__":
    serve(__file__)
