"""Composition root of transcribe: one per channel in a cluster, one for both on one machine."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import functions_framework.aio
import structlog
from prometheus_client import REGISTRY
from starlette.requests import Request
from starlette.responses import Response

from functions.transcribe.engines import LocalRecognizer, choose_recognizer
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
    """Open the ports. The model is loaded here, so that the function is ready only with it."""
    chosen = choose_recognizer(settings)
    async with bus_and_blobs(stores) as (bus, blobs, checks), running(chosen.recognizer):
        logger.info("recognizer", engine=str(chosen.recognizer.engine), because=chosen.because)
        ports = {
            "blobs": blobs,
            "recognizer": chosen.recognizer,
            "serves": settings.serves,
            "degraded": chosen.degraded,
        }
        yield Parts(bus, ports, checks | {"recognizer": chosen.recognizer.check})


@asynccontextmanager
async def running(recognizer: LocalRecognizer) -> AsyncIterator[None]:
    """Warm the recogniser and show its metrics; close it in the end, warm or not."""
    metrics = BatchMetrics(lambda: recognizer.totals)
    REGISTRY.register(metrics)
    try:
        await recognizer.warm()
        ending = asyncio.create_task(end_once_broken(recognizer))
        try:
            yield
        finally:
            ending.cancel()
    finally:
        REGISTRY.unregister(metrics)
        await recognizer.close()


async def end_once_broken(recognizer: LocalRecognizer) -> None:
    """Drain and end this process once its engine is broken for good; its keeper starts another."""
    await recognizer.until_broken()
    logger.critical("ends", reason="the engine is broken, and only a new process can use it")
    signal.raise_signal(signal.SIGTERM)


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
