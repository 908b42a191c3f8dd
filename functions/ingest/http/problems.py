"""Errors as the API's clients see them (RFC 9457, with the older members besides)."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from functions.ingest.views import Problem
from shared.errors import PocWhispError, Unavailable

logger = structlog.get_logger()
PROBLEM_STATUS = {
    "missing_file": 400,
    "invalid_file_type": 400,
    "invalid_audio": 400,
    "audio_constraints": 400,
    "invalid_id": 400,
    "invalid_request": 400,
    "not_found": 404,
    "request_timeout": 408,
    "file_too_large": 413,
    "unsupported_media_type": 415,
    "headers_too_large": 431,
    "processing_failed": 500,
    "server_error": 500,
    "unavailable": 503,
}
PROBLEM_HEADERS = {
    "request_timeout": {"connection": "close"},
    "unavailable": {"retry-after": "5"},
    "unsupported_media_type": {"accept-encoding": "identity"},
}
PROBLEM_MEDIA_TYPE = "application/problem+json"
DESCRIPTIONS: dict[int | str, str] = {
    400: "The request or its audio cannot be used; `error` says why.",
    404: "No such recording.",
    408: "The body stopped coming.",
    413: "The file is too large.",
    415: "The body is packed; only an unpacked one is taken.",
    500: "The recording could not be processed.",
    503: "A part is away; try again.",
    "default": "Any other error.",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI of a route's errors: those of every route, and `statuses`."""
    answered: list[int | str] = [*sorted({400, 503, *statuses}), "default"]
    return {status: {"model": Problem, "description": DESCRIPTIONS[status]} for status in answered}


def answer_errors(api: FastAPI) -> None:
    """Answer every expected error of the API with a problem."""
    api.add_exception_handler(PocWhispError, _failed)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(ClientDisconnect, _broken_off)


def problem(
    request: Request,
    code: str,
    message: str,
    status: HTTPStatus | None = None,
    **more: Any,  # noqa: ANN401 - JSON
) -> JSONResponse:
    """Return the response for an error; `message` says what was found and what is allowed.

    The status is that of `code` unless `status` is given. `more` are further members.
    """
    body = problem_body(code, message, status, getattr(request.state, "request_id", None))
    return JSONResponse(
        {**body, **more}, body["status"], PROBLEM_HEADERS.get(code), PROBLEM_MEDIA_TYPE
    )


def problem_body(
    code: str, message: str, status: HTTPStatus | None = None, request_id: str | None = None
) -> dict[str, Any]:
    """Return the body of a problem; a request without an id gets one."""
    status = HTTPStatus(PROBLEM_STATUS.get(code, 500)) if status is None else status
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


async def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, Unavailable):
        logger.warning("unavailable", reason=error.reason)
        return problem(request, error.code, f"{error.answer} Try again.")
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
        raise error
    code = "not_found" if error.status_code == HTTPStatus.NOT_FOUND else "invalid_request"
    answer = problem(
        request,
        code,
        f"{request.method} {request.url.path}: {error.detail}.",
        HTTPStatus(error.status_code),
    )
    answer.headers.update(error.headers or {})
    if answer.headers.get("allow") == "GET":
        answer.headers["allow"] = "GET, HEAD"
    return answer


async def _broken_off(request: Request, _: Exception) -> Response:
    return problem(request, "invalid_request", "The upload broke off.")


async def answer_unexpected_error(request: Request) -> Response:
    """Return the response for an unexpected error, which is logged elsewhere."""
    return problem(request, "server_error", "An unexpected error; it is in the log.")
