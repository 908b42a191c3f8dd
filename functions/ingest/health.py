"""Which parts answer."""

from collections.abc import Collection
from typing import Literal

import structlog

from functions.ingest.handler import Ports
from functions.ingest.http.views import Engines, Health
from shared.errors import Unavailable

logger = structlog.get_logger()
NEEDED = {"database", "blobs"}
"""Without the broker a recording is still kept: the sweep sends its event later."""


async def health_of(ports: Ports, tenant: str) -> Health:
    """`healthy`, `degraded` without the broker, `unhealthy` without what an upload needs.

    Engines are told from the record: asking them would wake functions scaled to zero.
    """
    checks = {name: await _answer(ports, name) for name in ports.checks}
    away = {name for name, answer in checks.items() if answer != "ok"}
    return Health(status=_status(away), checks=checks, engines=await _engines(ports, tenant))


def _status(away: Collection[str]) -> Literal["healthy", "degraded", "unhealthy"]:
    if NEEDED.isdisjoint(away):
        return "degraded" if away else "healthy"
    return "unhealthy"


async def _engines(ports: Ports, tenant: str) -> Engines:
    try:
        return await ports.record.engines(tenant)
    except Unavailable:
        return Engines()


async def _answer(ports: Ports, name: str) -> str:
    try:
        await ports.checks[name]()
    except Unavailable as error:
        logger.warning("away", part=name, reason=str(error))
        return "away"
    return "ok"
