"""Sessions with the broker: one after the other, each with a line per route.

Lines share nothing, so a slow function delays no other.
"""

import asyncio

import structlog

from infra.dispatcher.broker import Broker
from infra.dispatcher.consumer import Inlet
from infra.dispatcher.function_client import Courier
from infra.dispatcher.line import Line
from infra.dispatcher.settings import DispatchSettings, SweepSettings
from infra.dispatcher.sweep_clock import tick
from shared.bus import Bus

PAUSE = 1.0

logger = structlog.get_logger()


async def dispatch(settings: DispatchSettings, sweep: SweepSettings, nats_url: str) -> None:
    """Hand out events until cancelled; then let deliveries in flight finish within the grace."""
    async with Courier.open(settings.connect_timeout) as courier:
        ticking = asyncio.create_task(tick(courier, sweep))
        try:
            while True:
                await _session(settings, courier, nats_url)
                await asyncio.sleep(PAUSE)
        finally:
            ticking.cancel()


async def _session(settings: DispatchSettings, courier: Courier, nats_url: str) -> None:
    """One connection to the broker, for as long as the client keeps it."""
    async with Broker.connect(nats_url) as broker:
        bus = Bus(broker.client)
        inlets = [Inlet(broker, route, settings.ack_wait) for route in settings.routes]
        lines = [
            Line(route, inlet, courier, bus, settings)
            for route, inlet in zip(settings.routes, inlets, strict=True)
        ]
        running = [asyncio.create_task(line.run()) for line in lines]
        try:
            await asyncio.gather(*(inlet.bound() for inlet in inlets))
            logger.info("ready", routes=len(lines))
            await broker.closed.wait()
            logger.error("broker_closed")
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await asyncio.gather(*(line.drain(settings.grace) for line in lines))
