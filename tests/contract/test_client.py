"""The client against a real HTTP server whose answers the test writes."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from infra.client import client as client_module
from infra.client.client import Client, RecordingBody
from infra.client.errors import Rejected, ServerAway, ServerError
from tests.support.servers import free_port

Answer: TypeAlias = tuple[int, Any]
QUEUED = (202, {"session_id": "1", "status": "queued"})
COMPLETED = (200, {"session_id": "1", "status": "completed"})


class Scripted(ThreadingHTTPServer):
    """Answers as scripted, while `go_on` is set; the last answer stays.

    `received` is what came, bodies and all.
    """

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = list(answers)
        self.received = list[tuple[str, bytes]]()
        self.go_on = threading.Event()
        self.go_on.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.server.received.append((self.path, self.rfile.read(length)))
        self.server.go_on.wait()
        answers = self.server.answers
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(*answers: Answer) -> Iterator[Scripted]:
    with Scripted(*answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "POLL_INTERVAL", 0.0)


@pytest.fixture
def call(tmp_path: Path) -> Path:
    path = tmp_path / "call.wav"
    path.write_bytes(b"sound")
    return path


def transcribed(url: str, call: Path, away_limit: float = 20.0) -> RecordingBody:
    async def work() -> RecordingBody:
        async with Client(url, away_limit) as client:
            return await client.transcribe(call, lambda _: None)

    return asyncio.run(work())


def test_a_restart_of_the_server_fails_no_recording_that_it_has_taken(call: Path) -> None:
    away = (503, {"error": "unavailable", "message": "starting"})
    with serving(QUEUED, away, (502, b"<html>"), QUEUED, COMPLETED) as server:
        assert transcribed(server.url, call)["status"] == "completed"
        assert [path for path, _ in server.received] == [
            "/api/v1/transcribe",
            *["/api/v1/transcribe/1"] * 4,
        ]


def test_a_server_that_stays_away_is_given_up(call: Path) -> None:
    with serving(QUEUED, (503, {})) as server, pytest.raises(ServerAway):
        transcribed(server.url, call, away_limit=0.0)


def test_only_an_upload_may_take_minutes(call: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "REQUEST_TIMEOUT", 0.05)

    async def work(server: Scripted) -> RecordingBody:
        async with Client(server.url) as client:
            with pytest.raises(ServerAway, match="does not answer"):
                await client.live()
            asyncio.get_running_loop().call_later(0.15, server.go_on.set)
            return await client.upload(call)

    with serving(COMPLETED) as server:
        server.go_on.clear()
        assert asyncio.run(work(server))["status"] == "completed"


@pytest.mark.parametrize("body", [{}, [], {"hello": "world"}, b"<html>"])
def test_a_server_that_answers_as_another_is_not_live(body: Any) -> None:  # noqa: ANN401
    async def live(url: str) -> None:
        async with Client(url) as client:
            await client.live()

    with serving((200, body)) as server, pytest.raises(ServerAway, match="is no PocWhisp"):
        asyncio.run(live(server.url))


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_a_server_that_cannot_now_is_away(call: Path, status: int) -> None:
    busy = (status, {"error": "busy", "message": "wait"})
    with serving(busy) as server, pytest.raises(ServerAway, match="busy: wait"):
        transcribed(server.url, call)


@pytest.mark.parametrize(
    ("status", "error"), [(400, Rejected), (413, Rejected), (500, ServerError)]
)
def test_a_server_that_will_never_is_not_away(
    call: Path, status: int, error: type[Exception]
) -> None:
    answer = (status, {"error": "oh", "message": "no"})
    with serving(answer) as server, pytest.raises(error, match="oh: no") as raised:
        transcribed(server.url, call)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    "body", [{}, {"hello": "world"}, {"session_id": 5, "status": "ok"}, [], b"[" * 10**5, b"\xff"]
)
def test_another_service_is_told_in_a_sentence(call: Path, body: Any) -> None:  # noqa: ANN401
    with serving((200, body)) as server, pytest.raises(ServerAway, match="is no PocWhisp: 200"):
        transcribed(server.url, call)


@pytest.mark.parametrize("body", [{}, [], b"["])
def test_a_server_that_is_no_pocwhisp_is_named_without_its_password(
    call: Path,
    body: Any,  # noqa: ANN401
) -> None:
    with serving((200, body)) as server, pytest.raises(ServerAway) as away:
        transcribed(server.url.replace("//", "//me:secret@"), call)
    assert server.url in str(away.value)
    assert "secret" not in str(away.value)


def test_a_server_that_is_away_is_named_without_its_password(call: Path) -> None:
    server = f"127.0.0.1:{free_port()}"
    with pytest.raises(ServerAway) as away:
        transcribed(f"http://me:secret@{server}", call)
    assert str(away.value).startswith(f"http://{server} does not answer: ")


def test_a_name_that_is_not_utf_8_is_sent_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    call = tmp_path / os.fsdecode(b"caf\xe9 \xc3\xa9.wav")
    call.write_bytes(b"sound")
    with serving(COMPLETED) as server:
        transcribed(server.url, call)
        assert 'filename="caf\ufffd é.wav"'.encode() in server.received[0][1]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy_stands_between_us_and_this_machine(
    call: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with serving(COMPLETED) as server:
        assert transcribed(server.url, call)["status"] == "completed"
        local = server.url.replace("127.0.0.1", "localhost")
        assert transcribed(local, call)["status"] == "completed"


def test_a_server_elsewhere_is_reached_by_the_environments_proxy(
    call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(COMPLETED) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        assert transcribed("http://pocwhisp.example", call)["status"] == "completed"
        assert proxy.received[0][0] == "http://pocwhisp.example/api/v1/transcribe"


def test_a_proxy_that_is_no_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "smoke://signals")
    with pytest.raises(ServerAway, match="The environment's proxy cannot be used"):
        Client("http://pocwhisp.example")


def test_the_health_of_a_server_that_is_not_well_is_an_answer() -> None:
    ill = {"status": "unhealthy", "checks": {"database": "away"}}

    async def health(url: str) -> RecordingBody:
        async with Client(url) as client:
            return await client.health()

    with serving((503, ill), (503, {"error": "unavailable"})) as server:
        assert asyncio.run(health(server.url)) == ill
        with pytest.raises(ServerAway):
            asyncio.run(health(server.url))
