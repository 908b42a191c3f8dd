"""Ticks for the sweep, in the form a Knative PingSource gives them."""

import asyncio
from uuid import uuid4

import structlog
from cloudevents.http import CloudEvent

from infra.dispatcher.delivery_request import HttpEvent
from infra.dispatcher.function_client import FunctionClient
from infra.dispatcher.retry_policy import succeeded
from infra.dispatcher.settings import SweepSettings
from shared.tasks import together

LONGEST_SWEEP = 300.0

logger = structlog.get_logger()


async def tick(client: FunctionClient, settings: SweepSettings) -> None:
    """Post a tick each interval, one at a time; only a change for better or worse is logged."""
    if settings.url is None:
        return
    trouble = ""
    while True:
        await asyncio.sleep(settings.interval)
        try:
            now = await _post(client, settings.url)
        except Exception as error:
            now = f"defect: {type(error).__name__}"
            if now != trouble:
                logger.exception("defect", url=settings.url)
        if now and now != trouble:
            logger.warning("sweep_failed", reason=now)
        elif now != trouble:
            logger.info("sweep_recovered")
        trouble = now


async def _post(client: FunctionClient, url: str) -> str:
    """Post a tick; returns the code of the error, empty if there was none."""
    try:
        async with asyncio.timeout(LONGEST_SWEEP):
            # In a task of its own: what fails while it is cancelled must not hide that.
            [outcome] = await together(client.post(url, _tick()))
    except TimeoutError:
        return "sweep_timeout"
    return "" if succeeded(outcome) else outcome.code


def _tick() -> HttpEvent:
    event = CloudEvent.create(
        {
            "id": str(uuid4()),
            "type": "dev.knative.sources.ping",
            "source": "/pocwhisp/dispatcher",
        },
        None,
    )
    return HttpEvent.from_event(event)
