"""The public HTTP API."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from uuid_utils.compat import uuid7

from events import RecordingReceived
from events.keys import RecordingKey
from functions.ingest.errors import Refused
from functions.ingest.figures import Uploads, exposition
from functions.ingest.handler import Ports, announce, take_in, wait_for_end
from functions.ingest.health import health_of
from functions.ingest.http.openapi import UPLOAD
from functions.ingest.http.paging import paging_links
from functions.ingest.http.prefer import seconds_to_wait
from functions.ingest.http.problems import problem
from functions.ingest.http.views import Accepted, Health, Page, Problem, Session, State
from functions.ingest.settings import Settings
from functions.ingest.upload.body import check_length, reader_of
from functions.ingest.upload.upload import Upload
from shared.errors import PocWhispError, Unavailable
from shared.runtime import Opening
from shared.telemetry import next_traceparent

logger = structlog.get_logger()
MOST_OFFSET = 2**63 - 1
"""PostgreSQL's largest."""

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


def create_api(opening: Opening[Ports], settings: Settings) -> FastAPI:
    """The API over ports that are opened with the first request."""
    api = FastAPI(title="PocWhisp", version="1", docs_url=None, redoc_url=None)
    uploads = Uploads()
    for router in (_uploads(opening, settings, uploads), _recordings(opening, settings)):
        api.include_router(router, prefix="/api/v1/transcribe")
    api.include_router(_probes(opening, settings, uploads), prefix="/api/v1")
    api.add_exception_handler(PocWhispError, _failed)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(ClientDisconnect, _broken_off)
    api.add_exception_handler(Exception, _crashed)
    return api


def _uploads(opening: Opening[Ports], settings: Settings, uploads: Uploads) -> APIRouter:
    router = APIRouter(tags=["recordings"])

    @router.post(
        "",
        responses={200: {"model": Session}, 202: {"model": Accepted}, **ERRORS},
        openapi_extra=UPLOAD,
    )
    async def transcribe(
        request: Request,
        prefer: Annotated[str | None, Header(description="respond-async or wait=N")] = None,
        wait: Annotated[str | None, Query(description="Seconds to wait for the result.")] = None,
    ) -> Response:
        """Upload a stereo recording; wait for its transcript, or be told where it will be."""
        seconds = seconds_to_wait(prefer, wait, settings.wait, settings.max_wait)
        ports = await opening.get()
        trace = next_traceparent(request.headers.get("traceparent"))
        try:
            received = await _receive(request, ports, settings, trace)
        except (PocWhispError, ClientDisconnect) as error:
            uploads.note(getattr(error, "code", "broken_off"))
            raise
        uploads.note("accepted")
        await _announce(ports, received, trace)
        session = await wait_for_end(ports, received.tenant, received.recording, seconds)
        return _answer(request, session)

    return router


def _recordings(opening: Opening[Ports], settings: Settings) -> APIRouter:
    router = APIRouter(tags=["recordings"])

    @router.get("", responses=ERRORS)
    async def recordings(
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=100, description="Recordings on a page.")] = 10,
        offset: Annotated[int, Query(ge=0, le=MOST_OFFSET, description="Recordings to skip.")] = 0,
        status: Annotated[State | None, Query(description="Only those in this state.")] = None,
    ) -> Page:
        """List the recordings, newest first."""
        ports = await opening.get()
        page = await ports.record.page(settings.tenant, status, limit, offset)
        if links := paging_links(request.url.path, request.query_params, page.pagination):
            response.headers["Link"] = links
        return page

    @router.get("/{session_id}", responses=ERRORS)
    async def find(session_id: UUID) -> Session:
        """Look at a recording and what became of it so far."""
        ports = await opening.get()
        session = await ports.record.find(settings.tenant, session_id)
        if session is None:
            raise Refused("not_found", f"There is no recording {session_id}.")
        return session

    return router


async def _receive(
    request: Request, ports: Ports, settings: Settings, trace: str
) -> RecordingReceived:
    check_length(request.headers.get("content-length"), settings.max_upload_bytes)
    reader = reader_of(request.headers.get("content-type", ""))
    upload = Upload(reader, settings.limits, settings.max_upload_bytes)
    key = RecordingKey(settings.tenant, uuid7())
    query = _query_fields(request)
    return await take_in(ports, key, upload, request.stream(), query, traceparent=trace)


async def _announce(ports: Ports, received: RecordingReceived, trace: str) -> None:
    if not await announce(ports, received, trace):
        logger.warning("unannounced", recording=str(received.recording))


def _query_fields(request: Request) -> Mapping[str, Sequence[str]]:
    query = request.query_params
    return {name: query.getlist(name) for name in query if name != "wait"}


def _probes(opening: Opening[Ports], settings: Settings, uploads: Uploads) -> APIRouter:
    router = APIRouter(tags=["probes"])

    @router.get("/live")
    async def live() -> dict[str, str]:
        """Tell that the process runs."""
        return {"status": "alive"}

    @router.get("/ready", response_model=Health, responses={503: {"model": Health}})
    async def ready() -> Response:
        """Tell whether an upload can be kept."""
        health = await health_of(await opening.get(), settings.tenant)
        return JSONResponse(health.model_dump(), 503 if health.status == "unhealthy" else 200)

    @router.get("/health")
    async def health() -> Health:
        """Tell which parts answer."""
        return await health_of(await opening.get(), settings.tenant)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Tell the system's figures, for Prometheus."""
        figures = await (await opening.get()).record.figures()
        return Response(exposition(uploads, figures), media_type=CONTENT_TYPE_LATEST)

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
    if not isinstance(error, HTTPException):
        return await _crashed(request, error)
    code = "not_found" if error.status_code == HTTPStatus.NOT_FOUND else "invalid_request"
    answer = problem(
        request,
        code,
        f"{request.method} {request.url.path}: {error.detail}.",
        HTTPStatus(error.status_code),
    )
    answer.headers.update(error.headers or {})
    return answer


async def _broken_off(request: Request, _: Exception) -> Response:
    return problem(request, "invalid_request", "The upload broke off.")


async def _crashed(request: Request, error: Exception) -> Response:
    logger.error("crashed", path=request.url.path, exc_info=error)
    return problem(request, "server_error", "An unexpected error; it is in the log.")
