"""Which parts answer."""

import structlog

from functions.ingest.http.views import Engines, Health
from functions.ingest.ports import Ports
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
    status = "unhealthy" if away & NEEDED else "degraded" if away else "healthy"
    return Health(status=status, checks=checks, engines=await _engines(ports, tenant))


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
