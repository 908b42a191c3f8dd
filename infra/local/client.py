"""A client of PocWhisp's HTTP API."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeAlias

import httpx

Session: TypeAlias = dict[str, Any]
TERMINAL = {"completed", "failed", "cancelled"}
LOOK_EVERY = 0.25
UPLOAD_TIMEOUT = httpx.Timeout(30.0, write=300.0, read=300.0)


class ServerError(Exception):
    """The server refused or could not be reached; the message is for the user."""


class Client:
    """Uploads recordings to one server and follows them to their end."""

    def __init__(self, server: str) -> None:
        self._http = httpx.AsyncClient(base_url=server.rstrip("/"), timeout=UPLOAD_TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def transcribe(self, audio: Path, watch: Callable[[Session], None]) -> Session:
        """Upload the file and return its final body; `watch` sees each look at it.

        Raises `ServerError` if the upload is refused or the server is away.
        """
        session = await self.upload(audio)
        while session["status"] not in TERMINAL:
            watch(session)
            await asyncio.sleep(LOOK_EVERY)
            session = await self.find(session["session_id"])
        watch(session)
        return await self.find(session["session_id"])

    async def upload(self, audio: Path) -> Session:
        """Upload the file without waiting for the result."""
        with audio.open("rb") as content:
            return await self._json(
                "POST",
                "/api/v1/transcribe",
                files={"audio": (audio.name, content, "audio/wav")},
                headers={"Prefer": "respond-async"},
            )

    async def find(self, session_id: str) -> Session:
        """The recording as it is now."""
        return await self._json("GET", f"/api/v1/transcribe/{session_id}")

    async def health(self) -> Session:
        """Which parts answer."""
        return await self._json("GET", "/api/v1/health")

    async def _json(self, method: str, path: str, **options: Any) -> Session:  # noqa: ANN401 - httpx
        try:
            response = await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ServerError(f"{self._http.base_url} does not answer: {reason}") from error
        try:
            body: Session = response.json()
        except json.JSONDecodeError as error:
            raise ServerError(
                f"{response.url} answered {response.status_code} without JSON"
            ) from error
        if response.is_error:
            raise ServerError(f"{body.get('error')}: {body.get('message')}")
        return body
