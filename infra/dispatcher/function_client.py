"""The HTTP client of functions: it posts events and probes whether a function is alive."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from infra.dispatcher.delivery_request import DeliveryRequest
from infra.dispatcher.heartbeat import Liveness
from infra.dispatcher.retry_policy import AttemptOutcome, FunctionAnswer, NoAnswer

ATTEMPT = "x-pocwhisp-attempt"
"""Header with the number of the attempt, from 1, which the function logs."""
ERROR_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")

# Below uvicorn's 5 s: a connection that the function is about to close would look like its death.
KEEPALIVE_EXPIRY = 3.0


class FunctionClient:
    """Posts events. Every HTTP failure is returned as an `AttemptOutcome`, never raised."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, connect_timeout: float) -> AsyncIterator["FunctionClient"]:
        """Open a client; it keeps its connections while the context lasts.

        `connect_timeout` is in seconds.
        """
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=connect_timeout),
            limits=httpx.Limits(keepalive_expiry=KEEPALIVE_EXPIRY),
            trust_env=False,
        ) as client:
            yield cls(client)

    async def post(self, url: str, event: DeliveryRequest, attempt: int = 1) -> AttemptOutcome:
        """Post the event, and wait for the answer without a time limit."""
        headers = {**event.headers, ATTEMPT: str(attempt)}
        try:
            response = await self._client.post(url, content=event.body, headers=headers)
        except httpx.HTTPError as error:
            return _failure(error)
        return FunctionAnswer(response.status_code, _error_code(response))

    async def probe(self, url: str, within: float) -> Liveness:
        """Probe a function that works on a request of ours, for at most `within` seconds.

        A refused connection means that it drains: if it had died, the request would have ended.
        """
        try:
            response = await self._client.get(url, timeout=within)
        except httpx.ConnectError as error:
            return Liveness.DRAINING if _is_refused(error) else Liveness.SILENT
        except httpx.HTTPError:
            return Liveness.SILENT
        return Liveness.ALIVE if response.is_success else Liveness.SILENT


def _is_refused(error: BaseException | None) -> bool:
    """Whether the connection was refused, which httpx shows only in the error's causes."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(ConnectionRefusedError) is not None
    if error is None or isinstance(error, ConnectionRefusedError):
        return error is not None
    return _is_refused(error.__cause__ or error.__context__)


def _failure(error: httpx.HTTPError) -> NoAnswer:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol):
        return NoAnswer.NOT_UP
    if isinstance(error, httpx.TimeoutException):
        return NoAnswer.TIMEOUT
    return NoAnswer.DIED


def _error_code(response: httpx.Response) -> str | None:
    """Return the `error` member of a JSON answer. Returns None if it is no code but free text."""
    if response.is_success or not response.content:
        return None
    try:
        answer = json.loads(response.content)
    except ValueError:
        return None
    code = answer.get("error") if isinstance(answer, dict) else None
    return code if isinstance(code, str) and ERROR_CODE.fullmatch(code) else None
