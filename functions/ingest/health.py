"""The health of ingest's parts."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Literal

import structlog

from functions.ingest.ports import Ports
from functions.ingest.views import Engines, Health, Readiness
from shared.errors import Unavailable
from shared.ports import Check

logger = structlog.get_logger()
NEEDED_PARTS = {"database", "blobs"}
"""Parts that an upload needs. Without the broker the sweep sends its event later."""


async def readiness(checks: Mapping[str, Check]) -> Readiness:
    """Return `healthy`, `degraded` without the broker, or `unhealthy` without a needed part."""
    reasons = {name: reason for name in checks if (reason := await _reason(name, checks[name]))}
    answers = {name: "away" if name in reasons else "ok" for name in checks}
    return Readiness(status=_status(reasons.keys()), checks=answers, reasons=reasons)


def _status(away: AbstractSet[str]) -> Literal["healthy", "degraded", "unhealthy"]:
    if NEEDED_PARTS.isdisjoint(away):
        return "degraded" if away else "healthy"
    return "unhealthy"


async def health_of(ports: Ports, tenant: str) -> Health:
    """Return the readiness, and the engines that ran last.

    The engines are read from the record: a request to them would wake functions scaled to zero.
    """
    found = await readiness(ports.checks)
    return Health(**found.model_dump(), engines=await _engines(ports, tenant))


async def _engines(ports: Ports, tenant: str) -> Engines:
    """Return the engines; none if the record is away or cannot be understood."""
    try:
        return await ports.record.engines(tenant)
    except Exception as error:
        logger.warning("engines_unknown", exc_info=error)
        return Engines()


async def _reason(name: str, check: Check) -> str | None:
    """Return why the part is away, in words fit for the public. Returns None if it answers."""
    try:
        await check()
    except Unavailable as error:
        logger.warning("away", part=name, reason=error.reason)
        return error.answer
    except Exception as error:
        logger.warning("away", part=name, exc_info=error)
        return "It does not answer as it should."
    return None
