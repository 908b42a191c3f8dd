"""The public HTTP API."""

from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from uuid_utils.compat import uuid7

from events.keys import RecordingKey
from functions.ingest.errors import Refused
from functions.ingest.handler import Ports, announce, take_in, wait_for_end
from functions.ingest.health import health_of
from functions.ingest.problems import problem
from functions.ingest.settings import Settings
from functions.ingest.upload import Upload
from functions.ingest.views import Accepted, Health, Problem, Session
from functions.ingest.waiting import seconds_to_wait
from shared.errors import PocWhispError, Unavailable
from shared.runtime import Opening
from shared.telemetry import next_traceparent

logger = structlog.get_logger()

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The request or its audio cannot be used; `error` says why.",
        404: "No such recording.",
        413: "The file is too large.",
        500: "The recording could not be processed.",
        503: "A part is away; try again.",
    }.items()
}
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        name: {
                            "type": "string",
                            "contentMediaType": "audio/wav",
                            "description": "The recording; one of `audio` and `file`.",
                        }
                        for name in ("audio", "file")
                    },
                    "oneOf": [{"required": ["audio"]}, {"required": ["file"]}],
                }
            }
        },
    }
}


def create_api(opening: Opening[Ports], settings: Settings) -> FastAPI:
    """The API over ports that are opened with the first request."""
    api = FastAPI(title="PocWhisp", version="1", docs_url=None, redoc_url=None)
    api.include_router(_recordings(opening, settings), prefix="/api/v1/transcribe")
    api.include_router(_probes(opening), prefix="/api/v1")
    api.add_exception_handler(PocWhispError, _failed)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(Exception, _crashed)
    return api


def _recordings(opening: Opening[Ports], settings: Settings) -> APIRouter:
    router = APIRouter(tags=["recordings"])

    @router.post(
        "",
        responses={200: {"model": Session}, 202: {"model": Accepted}, **ERRORS},
        openapi_extra=FORM,
    )
    async def transcribe(
        request: Request,
        prefer: Annotated[str | None, Header(description="respond-async or wait=N")] = None,
        wait: Annotated[str | None, Query(description="Seconds to wait for the result.")] = None,
    ) -> Response:
        """Upload a stereo recording; wait for its transcript, or be told where it will be."""
        seconds = seconds_to_wait(prefer, wait, settings.wait, settings.max_wait)
        upload = Upload(
            request.headers.get("content-type", ""), settings.limits, settings.max_upload_bytes
        )
        ports = await opening.get()
        key = RecordingKey(settings.tenant, uuid7())
        received = await take_in(ports, key, upload, request.stream())
        trace = next_traceparent(request.headers.get("traceparent"))
        if not await announce(ports, received, trace):
            logger.warning("unannounced", recording=str(key.recording))
        session = await wait_for_end(ports, key.tenant, key.recording, seconds)
        return _answer(request, session)

    @router.get("/{session_id}", responses=ERRORS)
    async def find(session_id: UUID) -> Session:
        """Look at a recording and what became of it so far."""
        ports = await opening.get()
        session = await ports.record.find(settings.tenant, session_id)
        if session is None:
            raise Refused("not_found", f"There is no recording {session_id}.")
        return session

    return router


def _probes(opening: Opening[Ports]) -> APIRouter:
    router = APIRouter(tags=["probes"])

    @router.get("/live")
    async def live() -> dict[str, str]:
        """Tell that the process runs."""
        return {"status": "alive"}

    @router.get("/ready", response_model=Health, responses={503: {"model": Health}})
    async def ready() -> Response:
        """Tell whether an upload can be kept."""
        health = await health_of(await opening.get())
        return JSONResponse(health.model_dump(), 503 if health.status == "unhealthy" else 200)

    @router.get("/health")
    async def health() -> Health:
        """Tell which parts answer."""
        return await health_of(await opening.get())

    return router


def _answer(request: Request, session: Session | None) -> Response:
    if session is None:
        return problem(request, "server_error", "The recording was removed while it was processed.")
    if session.status == "failed" and session.error is not None:
        return problem(
            request,
            "processing_failed",
            session.error.message,
            session_id=str(session.session_id),
            check_url=session.check_url,
        )
    headers = {"Location": session.check_url}
    if session.terminal:
        return JSONResponse(session.model_dump(mode="json"), 200, headers)
    accepted = Accepted.model_validate(session, from_attributes=True)
    return JSONResponse(accepted.model_dump(mode="json"), 202, {**headers, "Retry-After": "2"})


async def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, Unavailable):
        logger.warning("unavailable", reason=str(error))
        return problem(request, error.code, "A store that this needs is away; try again.")
    code = error.code if isinstance(error, PocWhispError) else "server_error"
    return problem(request, code, str(error))


async def _invalid(request: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    place = ".".join(str(part) for part in first.get("loc", ()))
    code = "invalid_id" if place == "path.session_id" else "invalid_request"
    return problem(
        request, code, f"{place} is {first.get('input')!r}: {first.get('msg', 'not valid')}."
    )


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = "not_found" if status == 404 else "invalid_request"  # noqa: PLR2004
    return problem(request, code, f"{request.method} {request.url.path}: HTTP {status}.")


async def _crashed(request: Request, error: Exception) -> Response:
    logger.error("crashed", path=request.url.path, exc_info=error)
    return problem(request, "server_error", "An unexpected error; it is in the log.")
