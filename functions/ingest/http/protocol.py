"""HTTP/1.1 with limits: uvicorn's protocol, bounded in heads and silence.

A refused request is answered with a problem in JSON, as everywhere in the API.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from functions.ingest.http.problems import (
    PROBLEM_HEADERS,
    PROBLEM_MEDIA_TYPE,
    PROBLEM_STATUS,
    problem_body,
)
from functions.ingest.settings import Settings
from functions.ingest.upload.body import MOST_FILES, most_bytes
from shared.errors import Permanent, PocWhispError, Unavailable

LONGEST_URL = 65_535
"""Bytes. Longer ones cannot be parsed, and older parsers cut them silently."""
LONGEST_HEADERS = 1 << 16
MOST_HEADERS = 200
LONGEST_HEAD = LONGEST_URL + LONGEST_HEADERS
"""Bytes of a head, or of anything else outside a body, before its end is found."""
MOST_PIPELINED = 100
LONGEST_CHUNKED_READ = 1 << 16
LONGEST_BUFFERED_BODY = 1 << 17
"""Bytes of a body that may wait for the application before reading pauses."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of a connection.

    `head_timeout` in seconds; `max_discarded` are the bytes that a body may go on for after its
    request has been answered.
    """

    head_timeout: float = 10.0
    max_discarded: int = 1 << 31


def protocol_of(settings: Settings) -> type["Protocol"]:
    """Return the protocol with the limits of the settings."""
    limits = ConnectionLimits(
        head_timeout=settings.head_timeout,
        max_discarded=most_bytes(settings.max_upload_bytes, MOST_FILES),
    )
    return type("Protocol", (Protocol,), {"limits": limits})


def too_many_connections() -> bytes:
    """Return the answer to a connection too many."""
    return _answer(Unavailable("There are too many connections; try again."))


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with limits, and with problems in JSON instead of plain text."""

    limits: ClassVar = ConnectionLimits()

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*arguments, **named)
        self._refusal: PocWhispError | None = None
        self._in_head = True
        self._unparsed = 0
        self._header_bytes = 0
        self._discarded = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # as uvicorn has it
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._closing or self.transport.is_closing():
            return
        self._unparsed += len(data)
        if self._in_head and self._deadline is None:
            self._await_head()
        super().data_received(data)
        if self._unparsed > LONGEST_HEAD and not self.transport.is_closing():
            self._refuse(_headers_too_large(f"more than {LONGEST_HEAD} bytes"))

    def eof_received(self) -> None:
        if self._in_head and self._unparsed:
            self._refuse(_broken_off("request's head"))
        elif self._awaits_body():
            self._refuse(_broken_off("request's body"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._header_bytes = 0
        if len(self.pipeline) >= MOST_PIPELINED:
            self._stop(
                Permanent("invalid_request", f"More than {MOST_PIPELINED} requests at once.")
            )

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_URL:
            self._stop(
                Permanent(
                    "invalid_request",
                    f"The URL is longer than the {LONGEST_URL} bytes allowed; "
                    "send fields in a form.",
                )
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > LONGEST_HEADERS:
            self._stop(_headers_too_large(f"{self._header_bytes} bytes"))
        if len(self.headers) > MOST_HEADERS:
            self._stop(_headers_too_large(f"more than {MOST_HEADERS} fields"))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._unparsed = 0
        self._forget_deadline()
        if any(name == b"transfer-encoding" for name, _ in self.headers):
            self._read_little()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on as uvicorn does, but uncopied if none waits before it."""
        self._unparsed = 0
        cycle = self.cycle
        if cycle.response_complete:
            self._discard(body)
            return
        if not cycle.body:
            cycle.body = body  # type: ignore[assignment] # receive() makes bytes of it
        elif isinstance(cycle.body, bytes):
            cycle.body = bytearray(cycle.body) + body
        else:
            cycle.body += body
        if len(cycle.body) > LONGEST_BUFFERED_BODY:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True
        self._unparsed = 0
        self._forget_deadline()
        if self.cycle is not None and self.cycle.response_complete:
            self._await_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:  # no more requests are read before these are answered
            self.flow.pause_reading()
        if not self._in_head and not self.transport.is_closing():
            self._discarded = 0
            self._discard(b"")

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or Permanent("invalid_request", msg))

    def _read_little(self) -> None:
        """Have asyncio read less at once, since each chunk of a body may be a single byte."""
        with suppress(AttributeError):  # uvloop has its own way of reading
            self.transport.max_size = LONGEST_CHUNKED_READ  # type: ignore[attr-defined]

    def _discard(self, body: bytes) -> None:
        """Read on after the answer: many clients read it only after they have sent all."""
        self._discarded += len(body)
        if self._discarded > self.limits.max_discarded:
            self.transport.close()
        else:
            self._set_deadline(self.limits.head_timeout, self.transport.close)

    def _awaits_body(self) -> bool:
        return not self._in_head and not self.pipeline and not self.cycle.response_started

    def _await_head(self) -> None:
        self._set_deadline(self.limits.head_timeout, self._head_is_late)

    def _head_is_late(self) -> None:
        if self._unparsed:
            allowed = f"{self.limits.head_timeout:g} s"
            late = f"The request's head did not come within the {allowed} allowed."
            self._refuse(Permanent("request_timeout", late))
        else:
            self.transport.close()

    def _set_deadline(self, seconds: float, act: Callable[[], None]) -> None:
        self._forget_deadline()
        self._deadline = self.loop.call_later(seconds, act)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop(self, error: Permanent) -> None:
        """Stop the parser, which then calls `send_400_response`."""
        self._refusal = error
        raise error

    def _refuse(self, error: PocWhispError) -> None:
        """Answer with the error and close. Whole requests that came before are answered instead."""
        self._closing = True
        if self.cycle is None or self.cycle.response_complete or self._awaits_body():
            self.transport.write(_answer(error))
            self.transport.close()
        else:
            self.cycle.keep_alive = False


def _answer(error: PocWhispError) -> bytes:
    status = HTTPStatus(PROBLEM_STATUS[error.code])
    body = json.dumps(problem_body(error.code, str(error))).encode()
    headers = {
        "content-type": PROBLEM_MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
        **PROBLEM_HEADERS.get(error.code, {}),
    }
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _broken_off(part: str) -> Permanent:
    return Permanent("invalid_request", f"The connection ended before the {part} did.")


def _headers_too_large(found: str) -> Permanent:
    return Permanent(
        "headers_too_large",
        f"The headers have {found}; allowed: {LONGEST_HEADERS} bytes and {MOST_HEADERS} fields.",
    )
