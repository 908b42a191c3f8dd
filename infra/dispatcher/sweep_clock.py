"""Ticks for the sweep, in the form a Knative PingSource gives them."""

import asyncio
from uuid import uuid4

import structlog
from cloudevents.http import CloudEvent

from infra.dispatcher.delivery_request import HttpEvent
from infra.dispatcher.function_client import FunctionClient
from infra.dispatcher.retry_policy import succeeded
from infra.dispatcher.settings import SweepSettings

LONGEST_SWEEP = 300.0

logger = structlog.get_logger()


async def tick(client: FunctionClient, settings: SweepSettings) -> None:
    """Post a tick each interval, one at a time; only a change for better or worse is logged."""
    if settings.url is None:
        return
    trouble = ""
    while True:
        await asyncio.sleep(settings.interval)
        now = await _post(client, settings.url)
        if now != trouble and now:
            logger.warning("sweep_failed", reason=now)
        elif now != trouble:
            logger.info("sweep_recovered")
        trouble = now


async def _post(client: FunctionClient, url: str) -> str:
    """The code of the error, empty if there was none."""
    try:
        async with asyncio.timeout(LONGEST_SWEEP):
            outcome = await client.post(url, _tick())
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
