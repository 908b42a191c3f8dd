"""Composition root of persist, and of its second target, the sweep (`FUNCTION_TARGET=sweep`)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.persist.adapters import PostgresRecordWriter
from functions.persist.dead_letters import DeadLetters
from functions.persist.handler import persist
from functions.persist.settings import Settings
from functions.persist.sweep import sweep_once
from functions.persist.sweep_adapters import PostgresOpenRuns
from functions.persist.sweep_broker import JetStreamBroker
from shared.bus import Bus
from shared.delivery import Delivery
from shared.errors import Unavailable
from shared.ports import utc_now
from shared.record.database import Database
from shared.runtime import Parts, Runtime, bus_and_blobs, unavailable_response
from shared.serving import serve
from shared.settings import DatabaseSettings, StoreSettings, read_settings

settings = read_settings(Settings)
stores = read_settings(StoreSettings)
database_url = read_settings(DatabaseSettings).database_url.get_secret_value()


@asynccontextmanager
async def compose() -> AsyncIterator[Parts]:
    async with (
        bus_and_blobs(stores) as (bus, blobs, checks),
        Database.open(database_url, "pocwhisp_app") as db,
    ):
        ports = {"record": PostgresRecordWriter(db), "blobs": blobs}
        yield Parts(bus, ports, {**checks, "database": db.check})


@asynccontextmanager
async def compose_sweep() -> AsyncIterator[Parts]:
    async with (
        Bus.connect(stores.nats_url) as bus,
        Database.open(database_url, "pocwhisp_system", size=1) as db,
    ):
        ports = {"bus": bus, "database": db}
        yield Parts(bus, ports, {"broker": bus.check, "database": db.check})


async def tick(_: Request, parts: Parts) -> Response:
    try:
        open_runs = PostgresOpenRuns(parts.ports["database"])
        broker = JetStreamBroker(parts.ports["bus"])
        swept = await sweep_once(open_runs, broker, utc_now(), settings.patience)
    except Unavailable as error:
        return unavailable_response(error)
    return JSONResponse({"swept": asdict(swept)})


runtime = Runtime(
    compose,
    {"/": Delivery(persist, concurrency=settings.concurrency), "/parked": DeadLetters()},
)
sweep_runtime = Runtime(compose_sweep, {"/": tick})


@functions_framework.aio.http
async def handle(request: Request) -> Response:
    return await runtime.respond(request)


@functions_framework.aio.http
async def sweep(request: Request) -> Response:
    return await sweep_runtime.respond(request)


if __name__ == "__main__":
    serve(__file__)
