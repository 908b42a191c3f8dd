"""Recordings, one and many, as they are read."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from structlog.contextvars import bind_contextvars

from events.base import RunState
from functions.ingest.http.auth import CurrentCaller
from functions.ingest.http.dependencies import OpenPorts
from functions.ingest.http.paging import MOST_OFFSET, decode_cursor, paging_links
from functions.ingest.http.problems import error_responses
from functions.ingest.http.session_response import session_response
from functions.ingest.views import Page, Session
from shared.errors import Permanent

router = APIRouter(tags=["recordings"], prefix="/transcribe")


@router.get("", responses=error_responses())
async def recordings(  # noqa: PLR0913, PLR0917 - what FastAPI injects
    request: Request,
    response: Response,
    ports: OpenPorts,
    caller: CurrentCaller,
    limit: Annotated[int, Query(ge=1, le=100, description="Recordings on a page.")] = 10,
    offset: Annotated[
        int,
        Query(ge=0, le=MOST_OFFSET, description="Recordings to skip; `cursor` leads further."),
    ] = 0,
    status: Annotated[RunState | None, Query(description="Only those in this state.")] = None,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` or `prev_cursor` of another page.")
    ] = None,
) -> Page:
    """List the recordings, newest first."""
    start = None if cursor is None else decode_cursor(cursor)
    page = await ports.record.page(caller.tenant, status, limit, offset, start)
    if links := paging_links(request.url.path, request.query_params, page.pagination):
        response.headers["Link"] = links
    return page


@router.get("/{session_id}", response_model=Session, responses=error_responses(404))
async def find(session_id: UUID, ports: OpenPorts, caller: CurrentCaller) -> Response:
    """Return a recording with its progress and its result."""
    bind_contextvars(recording=str(session_id))
    session = await ports.record.find(caller.tenant, session_id)
    if session is None:
        raise Permanent("not_found", f"There is no recording {session_id}.")
    return await session_response(session)
