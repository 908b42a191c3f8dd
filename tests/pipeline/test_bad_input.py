"""What cannot become a recording is refused with what was found and what is allowed."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from uuid import uuid4

import httpx
import pytest

from tests.support.examples import wav_file
from tests.support.stacks import RunningStack


def wav(*, channels: int = 2, rate: int = 16_000, seconds: float = 2.0) -> bytes:
    """A WAV of silence."""
    return wav_file(bytes(int(rate * seconds) * 2 * channels), channels, rate)


HOTWORDS = "router," * 15_000
"""About 100 kB."""
Send = Callable[[httpx.Client], httpx.Response]


def upload(content: bytes, field: str = "audio", name: str = "call.wav") -> Send:
    return lambda http: http.post("/api/v1/transcribe", files={field: (name, content)})


def ask(http: httpx.Client, query: str) -> httpx.Response:
    """Send a bare recording with a query, however long; httpx would not send a long one."""
    connection = HTTPConnection(http.base_url.host, http.base_url.port)
    headers = {"content-type": "audio/wav"}
    connection.request("POST", f"/api/v1/transcribe?{query}", wav_file(), headers)
    with closing(connection), connection.getresponse() as answer:
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())


def announce(http: httpx.Client, size: int) -> httpx.Response:
    """Say that so many bytes will come, and wait for the answer before sending any."""
    connection = HTTPConnection(http.base_url.host, http.base_url.port)
    connection.putrequest("POST", "/api/v1/transcribe")
    connection.putheader("content-type", "audio/wav")
    connection.putheader("content-length", str(size))
    connection.endheaders()
    with closing(connection), connection.getresponse() as answer:
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())


REFUSED: dict[str, tuple[Send, int, str, tuple[str, ...]]] = {
    "a text file named .wav": (
        upload(b"Dear customer, this is a letter."),
        400, "invalid_file_type", ("Dear", "WAV", "FLAC"),
    ),
    "an empty file": (upload(b""), 400, "invalid_file_type", ("is empty", "WAV", "FLAC")),
    "an empty body": (
        lambda http: http.post("/api/v1/transcribe"),
        400, "missing_file", ("none", "multipart/form-data", "audio"),
    ),
    "an empty form": (
        lambda http: http.post(
            "/api/v1/transcribe",
            content=b"",
            headers={"content-type": "multipart/form-data; boundary=x"},
        ),
        400, "missing_file", ("empty", "audio"),
    ),
    "a recording of 0.2 s": (
        upload(wav(seconds=0.2)),
        400, "audio_constraints", ("0.2 s", "1 to 1800 s"),
    ),
    "a recording of 40 minutes": (
        upload(wav(rate=8_000, seconds=2_400)),
        400, "audio_constraints", ("2400 s", "1 to 1800 s"),
    ),
    "a header with a rate of 1 Hz": (
        upload(wav_file(rate=1)),
        400, "audio_constraints", ("1 Hz", "8000 to 48000 Hz"),
    ),
    "a header with 0 channels": (
        upload(wav_file()[:22] + b"\0\0" + wav_file()[24:]),
        400, "invalid_audio", ("0 channels",),
    ),
    "bytes that begin like an MP3": (
        upload(b"\xff\xfb\x90\x64" + bytes(4_000), name="call.wav"),
        400, "invalid_file_type", (),
    ),
    "an HLS playlist": (
        upload(b"#EXTM3U\n#EXTINF:10,\nhttp://localhost/secret.ts\n"),
        400, "invalid_file_type", ("#EXTM3U",),
    ),
    "an ffconcat script": (
        upload(b"ffconcat version 1.0\nfile /etc/passwd\n"),
        400, "invalid_file_type", ("ffconcat",),
    ),
    "a body of 2 GiB": (
        lambda http: announce(http, 2 << 30),
        413, "file_too_large", (str(2 << 30), str(1 << 30)),
    ),
    "one speaker's file alone": (
        upload(wav_file(bytes(32_000), channels=1), field="left"),
        400, "missing_file", ("`left` only", "`right`"),
    ),
    "two stereo files as two speakers": (
        lambda http: http.post(
            "/api/v1/transcribe", files={"left": wav_file(), "right": wav_file()}
        ),
        400, "audio_constraints", ("2 channels", "allowed: 1"),
    ),
    "an unknown language": (
        lambda http: http.post(
            "/api/v1/transcribe", files={"audio": wav_file()}, data={"language": "klingon"}
        ),
        400, "invalid_request", ("klingon", "en"),
    ),
    "an unknown task": (
        lambda http: http.post("/api/v1/transcribe?task=sing", files={"audio": wav_file()}),
        400, "invalid_request", ("`task`", "sing", "transcribe", "translate"),
    ),
    "hotwords of 100 kB": (
        lambda http: http.post(
            "/api/v1/transcribe", files={"audio": wav_file()}, data={"hotwords": HOTWORDS}
        ),
        400, "invalid_request", ("`hotwords`", "65536 bytes"),
    ),
    "hotwords of 100 kB behind the recording": (
        lambda http: http.post(
            "/api/v1/transcribe",
            files=[("audio", wav_file()), ("hotwords", (None, HOTWORDS))],
        ),
        400, "invalid_request", ("`hotwords`", "65536 bytes"),
    ),
    "hotwords of 50 kB in the query": (
        lambda http: ask(http, f"hotwords={HOTWORDS[:50_000]}"),
        400, "invalid_request", ("`hotwords`", "7143 words", "up to 200"),
    ),
    "hotwords of 100 kB in the query": (
        lambda http: ask(http, f"hotwords={HOTWORDS}"),
        400, "invalid_request", ("URL", "65535 bytes", "form"),
    ),
    "a misspelt field": (
        lambda http: http.post("/api/v1/transcribe?langauge=en", files={"audio": wav_file()}),
        400, "invalid_request", ("langauge", "`language`"),
    ),
    "a list of -1 recordings": (
        lambda http: http.get("/api/v1/transcribe?limit=-1"),
        400, "invalid_request", ("limit", "-1"),
    ),
    "a list of 101 recordings": (
        lambda http: http.get("/api/v1/transcribe?limit=101"),
        400, "invalid_request", ("limit", "101", "100"),
    ),
    "a list from beyond all numbers": (
        lambda http: http.get(f"/api/v1/transcribe?offset={10**30}"),
        400, "invalid_request", ("offset",),
    ),
    "a list of an unknown state": (
        lambda http: http.get("/api/v1/transcribe?status=lost"),
        400, "invalid_request", ("status", "lost", "completed"),
    ),
    "three channels": (
        upload(wav(channels=3)),
        400, "audio_constraints", ("3 channels", "allowed: 1 or 2"),
    ),
    "a sample rate of 4 kHz": (
        upload(wav(rate=4_000)),
        400, "audio_constraints", ("4000 Hz", "8000 to 48000 Hz"),
    ),
    "a header without samples": (
        upload(wav()[:40]), 400, "invalid_audio", ("data chunk",),
    ),
    "a missing field": (
        upload(wav(), field="recording"),
        400, "missing_file", ("recording", "`audio` or `file`"),
    ),
    "a wait that is no number": (
        lambda http: http.post("/api/v1/transcribe?wait=soon", files={"audio": wav()}),
        400, "invalid_request", ("soon", "seconds"),
    ),
    "an unknown id": (
        lambda http: http.get(f"/api/v1/transcribe/{uuid4()}"),
        404, "not_found", ("no recording",),
    ),
    "a malformed id": (
        lambda http: http.get("/api/v1/transcribe/the-last-one"),
        400, "invalid_id", ("the-last-one", "UUID"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_and_leaves_no_row_and_no_blob(stack: RunningStack, case: str) -> None:
    send, status, error, words = REFUSED[case]
    before = stack.recordings(), stack.blobs
    response = send(stack.http)
    body = response.json()
    assert (response.status_code, body["error"], body["code"]) == (status, error, status)
    assert all(word in body["message"] for word in words), body["message"]
    assert body["request_id"]
    assert body["timestamp"]
    assert response.headers["content-type"] == "application/problem+json"
    assert (stack.recordings(), stack.blobs) == before


def test_an_upload_that_breaks_off_leaves_nothing(stack: RunningStack) -> None:
    before = stack.recordings(), stack.blobs

    async def break_off() -> None:
        url = httpx.URL(stack.info.url)
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(
            b"POST /api/v1/transcribe HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'
            + wav()[:20_000]
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    asyncio.run(break_off())
    assert stack.http.get("/api/v1/health").json()["status"] == "healthy"
    assert (stack.recordings(), stack.blobs) == before
