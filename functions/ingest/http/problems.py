"""Errors as the API's clients see them (RFC 9457, with the older members besides)."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse

STATUS = {
    "missing_file": 400,
    "invalid_file_type": 400,
    "invalid_audio": 400,
    "audio_constraints": 400,
    "invalid_id": 400,
    "invalid_request": 400,
    "not_found": 404,
    "file_too_large": 413,
    "processing_failed": 500,
    "server_error": 500,
    "unavailable": 503,
}
RETRY_AFTER = {"unavailable": "5"}
MEDIA_TYPE = "application/problem+json"


def problem(
    request: Request,
    code: str,
    message: str,
    status: HTTPStatus | None = None,
    **more: Any,  # noqa: ANN401 - JSON
) -> JSONResponse:
    """The response for an error: what was found and what is allowed is in `message`.

    Its status is that of the code, unless another is given.
    """
    body = body_of(code, message, status, getattr(request.state, "request_id", None))
    headers = {"Retry-After": RETRY_AFTER[code]} if code in RETRY_AFTER else None
    return JSONResponse({**body, **more}, body["status"], headers, media_type=MEDIA_TYPE)


def body_of(
    code: str, message: str, status: HTTPStatus | None = None, request_id: str | None = None
) -> dict[str, Any]:
    """The body of that response; a request without an id gets one."""
    status = HTTPStatus(STATUS.get(code, 500)) if status is None else status
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": status,
        "detail": message,
        "error": code,
        "message": message,
        "code": status,
        "request_id": request_id or str(uuid4()),
        "timestamp": datetime.now(UTC).isoformat(),
    }
