"""Ticks for the sweep, in the form a Knative PingSource gives them."""

import asyncio
from uuid import uuid4

import structlog
from cloudevents.http import CloudEvent

from infra.dispatcher.delivery_request import DeliveryRequest
from infra.dispatcher.function_client import FunctionClient
from infra.dispatcher.retry_policy import succeeded
from infra.dispatcher.settings import SweepSettings
from shared.tasks import together

LONGEST_SWEEP = 300.0

logger = structlog.get_logger()


async def post_ticks(client: FunctionClient, settings: SweepSettings) -> None:
    """Post a tick each interval, one at a time; log only when the result changes."""
    if settings.url is None:
        return
    last_problem = ""
    while True:
        await asyncio.sleep(settings.interval)
        try:
            problem = await _post(client, settings.url)
        except Exception as error:
            problem = f"defect: {type(error).__name__}"
            if problem != last_problem:
                logger.exception("defect", url=settings.url)
        if problem and problem != last_problem:
            logger.warning("sweep_failed", reason=problem)
        elif problem != last_problem:
            logger.info("sweep_recovered")
        last_problem = problem


async def _post(client: FunctionClient, url: str) -> str:
    """Post a tick. Returns the error's code, empty if there is none."""
    try:
        async with asyncio.timeout(LONGEST_SWEEP):
            # In a task of its own: what fails while it is cancelled must not hide that.
            [outcome] = await together(client.post(url, _tick()))
    except TimeoutError:
        return "sweep_timeout"
    return "" if succeeded(outcome) else outcome.code


def _tick() -> DeliveryRequest:
    event = CloudEvent.create(
        {
            "id": str(uuid4()),
            "type": "dev.knative.sources.ping",
            "source": "/pocwhisp/dispatcher",
        },
        None,
    )
    return DeliveryRequest.from_event(event)
