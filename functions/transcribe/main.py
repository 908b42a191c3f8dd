"""Composition root of transcribe: one per channel in a cluster, one for both on one machine."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import functions_framework.aio
import structlog
from prometheus_client import REGISTRY
from starlette.requests import Request
from starlette.responses import Response

from functions.transcribe.engines import choose_recognizer
from functions.transcribe.handler import transcribe
from functions.transcribe.settings import Settings
from functions.transcribe.whisper.metrics import BatchMetrics
from functions.transcribe.whisper.models import NoEngine
from shared.delivery import Delivery
from shared.runtime import Parts, Runtime, bus_and_blobs
from shared.serving import serve
from shared.settings import StoreSettings, read_settings
from shared.telemetry import configure_logging

settings = read_settings(Settings)
stores = read_settings(StoreSettings)
logger = structlog.get_logger()


@asynccontextmanager
async def compose() -> AsyncIterator[Parts]:
    """Warm the recogniser, so that ready means ready."""
    chosen = choose_recognizer(settings)
    await chosen.recognizer.warm()
    logger.info("recognizer", engine=str(chosen.recognizer.engine), because=chosen.because)
    figures = BatchMetrics(lambda: chosen.recognizer.figures)
    async with bus_and_blobs(stores) as (bus, blobs, checks):
        REGISTRY.register(figures)
        try:
            ports = {
                "blobs": blobs,
                "recognizer": chosen.recognizer,
                "serves": settings.serves,
                "degraded": chosen.degraded,
            }
            yield Parts(bus, ports, checks | {"recognizer": chosen.recognizer.check})
        finally:
            REGISTRY.unregister(figures)
            await chosen.recognizer.close()


runtime = Runtime(compose, {"/": Delivery(transcribe, concurrency=settings.concurrency)})


@functions_framework.aio.http
async def handle(request: Request) -> Response:
    return await runtime.respond(request)


if __name__ == "__main__":
    configure_logging()
    try:
        choose_recognizer(settings)
    except NoEngine as error:
        logger.critical("cannot_start", reason=str(error))
        sys.exit(1)
    serve(__file__)
