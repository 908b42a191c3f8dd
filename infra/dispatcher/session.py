"""Sessions with the broker: one after the other, each with a worker per route.

Workers share nothing, so a slow function delays no other.
"""

import asyncio
from collections.abc import Sequence

import structlog

from infra.dispatcher.alive_server import answering_alive
from infra.dispatcher.broker import BrokerConnection
from infra.dispatcher.consumer_jetstream import JetStreamConsumer
from infra.dispatcher.function_client import FunctionClient
from infra.dispatcher.route_worker import RouteWorker
from infra.dispatcher.settings import DispatchSettings, SweepSettings
from infra.dispatcher.sweep_clock import post_ticks
from shared.bus import Bus, OutageLog
from shared.tasks import together

NEW_CONNECTION_DELAY = 1.0

logger = structlog.get_logger()


async def dispatch(settings: DispatchSettings, sweep: SweepSettings, nats_url: str) -> None:
    """Dispatch events until cancelled; then let deliveries in flight finish within the grace."""
    async with (
        answering_alive(settings.alive_port),
        FunctionClient.open(settings.connect_timeout) as client,
    ):
        ticking = asyncio.create_task(post_ticks(client, sweep))
        try:
            while True:
                await _session(settings, client, nats_url)
                await asyncio.sleep(NEW_CONNECTION_DELAY)
        finally:
            ticking.cancel()


async def _session(settings: DispatchSettings, client: FunctionClient, nats_url: str) -> None:
    """Dispatch over one connection to the broker, until it is closed for good."""
    async with BrokerConnection.connect(nats_url, OutageLog(nats_url).log) as broker:
        bus = Bus(broker.client)
        consumers = [
            JetStreamConsumer(broker, route, settings.ack_wait) for route in settings.routes
        ]
        workers = [
            RouteWorker(route, consumer, client, bus, settings)
            for route, consumer in zip(settings.routes, consumers, strict=True)
        ]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            await _until_closed(broker, consumers)
            logger.error("broker_closed")
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await asyncio.gather(*(worker.drain(settings.grace) for worker in workers))


async def _until_closed(broker: BrokerConnection, consumers: Sequence[JetStreamConsumer]) -> None:
    """Log when all consumers are bound; return once the connection is closed for good.

    Without a connection nothing binds them any more, so it is watched meanwhile too.
    """
    closed = asyncio.create_task(broker.closed.wait())
    binding = asyncio.create_task(_bind(consumers))
    try:
        await asyncio.wait({closed, binding}, return_when=asyncio.FIRST_COMPLETED)
        if binding.done():
            binding.result()
        await closed
    finally:
        closed.cancel()
        binding.cancel()


async def _bind(consumers: Sequence[JetStreamConsumer]) -> None:
    await together(*(consumer.ensure_bound() for consumer in consumers))
    logger.info("ready", routes=len(consumers))
