"""Whether ingest and its parts answer, and the system's metrics."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from functions.ingest.health import health_of, readiness
from functions.ingest.http.auth import CurrentCaller
from functions.ingest.http.dependencies import CurrentDependencies, OpenPorts
from functions.ingest.http.problems import PROBLEM_HEADERS, error_responses
from functions.ingest.metrics import exposition
from functions.ingest.views import Health, Readiness

router = APIRouter(tags=["probes"])


@router.get("/live")
async def live() -> dict[str, str]:
    """Answer as long as the process runs."""
    return {"status": "alive"}


@router.get("/ready", response_model=Readiness, responses={503: {"model": Readiness}})
async def ready(ports: OpenPorts) -> Response:
    """Show whether an upload can be stored."""
    found = await readiness(ports.checks)
    if found.status == "unhealthy":
        return JSONResponse(found.model_dump(), 503, PROBLEM_HEADERS["unavailable"])
    return JSONResponse(found.model_dump())


@router.get("/health", responses=error_responses())
async def health(ports: OpenPorts, caller: CurrentCaller) -> Health:
    """Show which parts answer, and the engines that ran last."""
    return await health_of(ports, caller.tenant)


@router.get("/metrics", response_class=PlainTextResponse, responses=error_responses())
async def metrics(ports: OpenPorts, current: CurrentDependencies) -> Response:
    """Return the metrics of the system as Prometheus text."""
    recorded = await ports.record.metrics()
    return Response(exposition(current.uploads, recorded), media_type=CONTENT_TYPE_LATEST)
