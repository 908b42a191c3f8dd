"""What cannot become a recording is refused with what was found and what is allowed."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from tests.examples import wav_file
from tests.stacks import RunningStack


def wav(*, channels: int = 2, rate: int = 16_000, seconds: float = 2.0) -> bytes:
    """A WAV of silence."""
    return wav_file(bytes(int(rate * seconds) * 2 * channels), channels, rate)


Send = Callable[[httpx.Client], httpx.Response]


def upload(content: bytes, field: str = "audio", name: str = "call.wav") -> Send:
    return lambda http: http.post("/api/v1/transcribe", files={field: (name, content)})


REFUSED: dict[str, tuple[Send, int, str, tuple[str, ...]]] = {
    "a text file named .wav": (
        upload(b"Dear customer, this is a letter."),
        400, "invalid_file_type", ("Dear", "RIFF/WAVE"),
    ),
    "an empty file": (upload(b""), 400, "invalid_file_type", ("is empty", "RIFF/WAVE")),
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
    "a recording of 31 minutes": (
        upload(wav(rate=8_000, seconds=1_860)),
        400, "audio_constraints", ("1860 s", "1 to 1800 s"),
    ),
    "three channels": (
        upload(wav(channels=3)),
        400, "audio_constraints", ("3 channels", "allowed: 2"),
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
