"""A client of PocWhisp's HTTP API."""

import asyncio
import ipaddress
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeAlias
from urllib.parse import urlsplit

import httpx

from events.base import TERMINAL_STATES
from infra.client.audio_files import printable
from infra.client.errors import Rejected, ServerAway, ServerError
from infra.client.upload_options import UploadOptions
from infra.client.urls import without_password

RecordingBody: TypeAlias = dict[str, Any]
"""The API's JSON about a recording."""
HealthBody: TypeAlias = dict[str, Any]
"""The API's JSON about the states of the server's parts."""
POLL_INTERVAL = 0.25
AWAY_LIMIT = 60.0
REQUEST_TIMEOUT = 15.0
"""Seconds; a server tells within ten that its database hangs."""
UPLOAD_TIMEOUT = httpx.Timeout(30.0, write=300.0, read=300.0)
BUSY = {408, 425, 429, 502, 503, 504}
"""Statuses of a server that cannot answer now."""


class Client:
    """Uploads recordings to one server and follows them to their end.

    `server` is a URL, or a function that returns it for each request, because a stack may come
    back at another port. The environment's proxies are used only for a URL of another machine.
    `away_limit`: seconds that the server may be away once it has a recording; a last request may
    take `REQUEST_TIMEOUT` longer.
    """

    def __init__(self, server: str | Callable[[], str], away_limit: float = AWAY_LIMIT) -> None:
        self._server: Callable[[], str] = (lambda: server) if isinstance(server, str) else server
        self._away_limit = away_limit
        self._http = _http(proxied=isinstance(server, str) and not is_this_machine(server))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def transcribe(
        self,
        audio: Path,
        watch: Callable[[RecordingBody], None],
        options: UploadOptions | None = None,
    ) -> RecordingBody:
        """Upload a file and wait for its final body; `watch` gets each body before it, too.

        Raises `Rejected`, `ServerAway`, or another `ServerError`; `OSError` if the file cannot be
        read.
        """
        session = await self.upload(audio, options)
        while session["status"] not in TERMINAL_STATES:
            watch(session)
            await asyncio.sleep(POLL_INTERVAL)
            session = await self._find_within_limit(session["session_id"])
        watch(session)
        return session

    async def upload(self, audio: Path, options: UploadOptions | None = None) -> RecordingBody:
        """Upload a file without waiting for the result. Returns the API's first body."""
        with audio.open("rb") as content:
            return await self._json(
                "POST",
                "/api/v1/transcribe",
                needed=("session_id", "status"),
                data=(options or UploadOptions()).form,
                files={"audio": (printable(audio.name), content)},
                headers={"Prefer": "respond-async"},
                timeout=UPLOAD_TIMEOUT,
            )

    async def find(self, session_id: str) -> RecordingBody:
        """Return the recording's present body."""
        path = f"/api/v1/transcribe/{session_id}"
        return await self._json("GET", path, needed=("session_id", "status"))

    async def health(self) -> HealthBody:
        """Return the state of the server's parts, even if it is unhealthy (status 503)."""
        return await self._json(
            "GET", "/api/v1/health", needed=("status", "checks"), allow_unavailable=True
        )

    async def live(self) -> None:
        """Raise `ServerAway` unless a PocWhisp answers."""
        await self._json("GET", "/api/v1/live", needed=("status",))

    async def _find_within_limit(self, session_id: str) -> RecordingBody:
        deadline = time.monotonic() + self._away_limit
        while True:
            try:
                return await self.find(session_id)
            except ServerAway:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(POLL_INTERVAL)

    async def _json(
        self,
        method: str,
        path: str,
        needed: tuple[str, ...] = (),
        *,
        allow_unavailable: bool = False,
        **options: Any,  # noqa: ANN401 - httpx's own
    ) -> dict[str, Any]:
        """Return the JSON object of the server's answer, which must hold the `needed` keys.

        With `allow_unavailable`, status 503 is no error.
        """
        server = self._server().rstrip("/")
        try:
            response = await self._http.request(method, server + path, **options)
            body = response.json()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise ServerAway(f"{without_password(server)} does not answer: {reason}") from error
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ServerAway(
                f"{without_password(server)} is no PocWhisp: {response.status_code} without JSON"
            ) from error
        if allow_unavailable and response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return _complete(response, body if isinstance(body, dict) else {}, needed)
        return _checked(response, body, needed)


def is_this_machine(url: str) -> bool:
    """Whether the URL's host is a loopback address or name."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _http(*, proxied: bool) -> httpx.AsyncClient:
    try:
        return httpx.AsyncClient(timeout=REQUEST_TIMEOUT, trust_env=proxied)
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise ServerAway(f"The environment's proxy cannot be used: {error}") from error


def _checked(response: httpx.Response, body: object, needed: tuple[str, ...]) -> RecordingBody:
    """Return the body of a successful answer. Raises the `ServerError` for any other."""
    if not isinstance(body, dict):
        raise _no_pocwhisp(response, "an object")
    if response.is_success:
        return _complete(response, body, needed)
    message = f"{body.get('error')}: {body.get('message')}"
    if response.status_code in BUSY:
        raise ServerAway(message)
    raise Rejected(message) if response.is_client_error else ServerError(message)


def _complete(
    response: httpx.Response, body: RecordingBody, needed: tuple[str, ...]
) -> RecordingBody:
    if missing := [key for key in needed if not isinstance(body.get(key), str | dict)]:
        raise _no_pocwhisp(response, ", ".join(missing))
    return body


def _no_pocwhisp(response: httpx.Response, lacks: str) -> ServerAway:
    url = without_password(response.url)
    return ServerAway(f"{url} is no PocWhisp: {response.status_code} without {lacks}")
