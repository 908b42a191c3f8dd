"""HTTP/1.1 as ingest speaks it: what cannot be read is refused in JSON, as everything else is."""

import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from functions.ingest.http.problems import MEDIA_TYPE, body_of
from shared.errors import Permanent

LONGEST_URL = 65_535
"""Bytes. More cannot be taken apart, and older parsers cut it without a word."""


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, whose own answer to what it cannot read is a line of plain text."""

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_URL:
            raise Permanent("invalid_request", "The URL is too long.")

    def send_400_response(self, msg: str) -> None:
        body = json.dumps(body_of("invalid_request", self._found(msg))).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            f"content-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _found(self, msg: str) -> str:
        if len(getattr(self, "url", b"")) <= LONGEST_URL:
            return msg
        return f"The URL is longer than the {LONGEST_URL} bytes allowed; send fields in a form."
