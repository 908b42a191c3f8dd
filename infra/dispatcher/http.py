"""Carries events to functions over HTTP, in the form eventing-natss gives them."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

import httpx
from cloudevents.conversion import to_binary
from cloudevents.http import CloudEvent, from_json

from infra.dispatcher.retry_policy import Answer, Failure, Outcome
from shared.delivery import Received

ATTRIBUTE_NAME = re.compile(r"[a-z0-9]{1,64}")
ERROR_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))

# Below uvicorn's 5 s: a connection that the function is about to close would look like its death.
KEEPALIVE_EXPIRY = 3.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event ready to be posted in binary mode (CloudEvents HTTP binding, section 3.1)."""

    received: Received
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def unpack(cls, payload: bytes) -> "Parcel":
        """Read an event in structured mode. Anything may be raised if it is not one."""
        return cls.pack(from_json(payload))

    @classmethod
    def pack(cls, event: CloudEvent) -> "Parcel":
        attributes, body = to_binary(event)
        headers = {"content-type": "application/json", "prefer": "reply"}
        for name, text in attributes.items():
            if not ATTRIBUTE_NAME.fullmatch(name.removeprefix("ce-").replace("-", "")):
                raise ValueError(f"Not the name of an attribute: {name!r}.")
            headers[name] = quote(str(text), safe=PRINTABLE)
        return cls(Received(dict(event.get_attributes()), event.get_data()), headers, body or b"")

    @property
    def audio_seconds(self) -> float:
        """Length of the recording as the event tells it, 0 if it does not."""
        facts = self.received.data
        duration = facts.get("duration") if isinstance(facts, dict) else None
        return float(duration) if isinstance(duration, int | float) else 0.0


class Courier:
    """Posts parcels; every way to fail is an `Outcome`, never an exception."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, connect_timeout: float) -> AsyncIterator["Courier"]:
        """Keep connections to all functions while the context lasts."""
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=connect_timeout),
            limits=httpx.Limits(keepalive_expiry=KEEPALIVE_EXPIRY),
            trust_env=False,
        ) as client:
            yield cls(client)

    async def post(self, url: str, parcel: Parcel) -> Outcome:
        """Post, and wait for the answer without a limit."""
        try:
            response = await self._client.post(url, content=parcel.body, headers=parcel.headers)
        except httpx.HTTPError as error:
            return _failure(error)
        return Answer(response.status_code, _error_code(response))

    async def alive(self, url: str, within: float) -> bool:
        """Whether the function gives a sign of life within so many seconds."""
        try:
            response = await self._client.get(url, timeout=within)
        except httpx.HTTPError:
            return False
        return response.is_success


def _failure(error: httpx.HTTPError) -> Failure:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol):
        return Failure.NOT_UP
    if isinstance(error, httpx.TimeoutException):
        return Failure.TIMEOUT
    return Failure.DIED


def _error_code(response: httpx.Response) -> str | None:
    """The `error` member of a JSON answer, if it is a code: free text must not pass."""
    if response.is_success or not response.content:
        return None
    try:
        answer = json.loads(response.content)
    except ValueError:
        return None
    code = answer.get("error") if isinstance(answer, dict) else None
    return code if isinstance(code, str) and ERROR_CODE.fullmatch(code) else None
