"""Composition root of ingest."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.ingest.adapters import PostgresRecord
from functions.ingest.http.app import create_api
from functions.ingest.http.protocol import protocol_of, too_many_connections
from functions.ingest.ports import Ports
from functions.ingest.settings import Settings
from shared.ports import utc_now
from shared.record.database import Database
from shared.runtime import Lifespan, bus_and_blobs
from shared.serving import serve
from shared.settings import DatabaseSettings, StoreSettings, read_settings

stores = read_settings(StoreSettings)
database_url = read_settings(DatabaseSettings).database_url.get_secret_value()


@asynccontextmanager
async def compose() -> AsyncIterator[Ports]:
    async with (
        bus_and_blobs(stores) as (bus, blobs, checks),
        Database.open(database_url, "pocwhisp_app") as database,
    ):
        checks["database"] = database.check
        yield Ports(PostgresRecord(database), blobs, bus, bus, utc_now, checks)


api = create_api(Lifespan(compose), read_settings(Settings))


@functions_framework.aio.http
async def handle(_: Request) -> Response:
    return cast("Response", api)  # Starlette calls what it is given as an ASGI app


if __name__ == "__main__":
    serve(__file__, http=protocol_of(Settings()), refusal=too_many_connections)
