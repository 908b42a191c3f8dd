"""The upload of a recording."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from structlog.contextvars import bind_contextvars
from uuid_utils.compat import uuid7

from events import RecordingReceived
from events.keys import RecordingKey
from functions.ingest.handler import accept_upload, announce, wait_for_end
from functions.ingest.http.auth import CurrentCaller
from functions.ingest.http.dependencies import CurrentDependencies, OpenPorts
from functions.ingest.http.openapi import UPLOAD_OPERATION
from functions.ingest.http.prefer import seconds_to_wait
from functions.ingest.http.problems import error_responses, problem
from functions.ingest.http.session_response import session_response
from functions.ingest.http.waiting import end_of_waiting
from functions.ingest.ports import Ports
from functions.ingest.settings import Settings
from functions.ingest.upload.body import check_encoding, check_length, reader_of, with_timeout
from functions.ingest.upload.multipart import MOST_PARTS
from functions.ingest.upload.upload import Upload
from functions.ingest.views import Accepted, Session
from shared.errors import Permanent, PocWhispError
from shared.telemetry import next_traceparent, trace_id

logger = structlog.get_logger()
router = APIRouter(tags=["recordings"], prefix="/transcribe")


@router.post(
    "",
    responses={
        200: {"model": Session},
        202: {"model": Accepted},
        **error_responses(408, 413, 415, 500),
    },
    openapi_extra=UPLOAD_OPERATION,
)
async def transcribe(  # noqa: PLR0913, PLR0917 - what FastAPI injects
    request: Request,
    ports: OpenPorts,
    current: CurrentDependencies,
    caller: CurrentCaller,
    prefer: Annotated[str | None, Header(description="respond-async or wait=N")] = None,
    wait: Annotated[str | None, Query(description="Seconds to wait for the result.")] = None,
) -> Response:
    """Upload a stereo recording. The answer is its transcript, or where that will be."""
    settings, uploads = current.settings, current.uploads
    seconds = seconds_to_wait(prefer, wait, settings.wait, settings.max_wait)
    trace = next_traceparent(request.headers.get("traceparent"))
    bind_contextvars(trace=trace_id(trace))
    try:
        received = await _receive(request, ports, settings, caller.tenant, trace)
    except (PocWhispError, ClientDisconnect) as error:
        uploads.note(getattr(error, "code", "broken_off"))
        raise
    uploads.note("accepted")
    try:
        await _announce(ports, received, trace)
        session = await _wait(request, ports, current.waiting_places, received, seconds)
    except (Exception, asyncio.CancelledError) as error:
        logger.warning("not_awaited", exc_info=error)
        return _accepted(_just_queued(received.recording))
    return await _answer(request, session)


async def _receive(
    request: Request, ports: Ports, settings: Settings, tenant: str, trace: str
) -> RecordingReceived:
    check_encoding(request.headers.get("content-encoding"))
    check_length(request.headers, settings.max_upload_bytes)
    reader = reader_of(request.headers.get("content-type", ""))
    upload = Upload(reader, settings.limits, settings.max_upload_bytes)
    key = RecordingKey(tenant, uuid7())
    bind_contextvars(recording=str(key.recording))
    body = with_timeout(request.stream(), settings.body_timeout)
    return await accept_upload(ports, key, upload, body, _query_fields(request), traceparent=trace)


async def _announce(ports: Ports, received: RecordingReceived, trace: str) -> None:
    if not await announce(ports, received, trace):
        logger.warning("unannounced")


async def _wait(
    request: Request,
    ports: Ports,
    places: asyncio.Semaphore,
    received: RecordingReceived,
    seconds: float,
) -> Session | None:
    tenant, recording = received.tenant, received.recording
    if places.locked():
        seconds = 0
    async with places if seconds else nullcontext(), end_of_waiting(request) as end:
        return await wait_for_end(ports, tenant, recording, seconds, end)


def _query_fields(request: Request) -> Mapping[str, Sequence[str]]:
    """Return the fields in the query, without `wait`, which is no field of the upload."""
    pairs = request.query_params.multi_items()
    if len(pairs) > MOST_PARTS:
        raise Permanent(
            "invalid_request", f"The query has {len(pairs)} fields; allowed: {MOST_PARTS}."
        )
    fields: dict[str, list[str]] = {}
    for name, text in pairs:
        fields.setdefault(name, []).append(text)
    fields.pop("wait", None)
    return fields


async def _answer(request: Request, session: Session | None) -> Response:
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
    if session.terminal:
        return await session_response(session, {"Location": session.check_url})
    return _accepted(Accepted.model_validate(session, from_attributes=True))


def _accepted(accepted: Accepted) -> Response:
    headers = {"Location": accepted.check_url, "Retry-After": "2"}
    return JSONResponse(accepted.model_dump(mode="json"), 202, headers)


def _just_queued(recording: UUID) -> Accepted:
    """Return the answer for a recording of which only the committed row is certain."""
    url = f"/api/v1/transcribe/{recording}"
    return Accepted(session_id=recording, status="queued", check_url=url, progress=[])
