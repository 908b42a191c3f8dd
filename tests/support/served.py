"""A function in a process of its own, served as it is in production: `steered_function.py`."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from events import Envelope
from tests.support.examples import received
from tests.support.servers import free_port
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[1]
SOURCE = Path(__file__).with_name("steered_function.py")


class ServedFunction:
    """The running process. Files in `folder` steer it: `go-on` ends its deliveries."""

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self._address = ("127.0.0.1", port)
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> httpx.Response:
        """The answer on a connection of its own."""
        return httpx.get(self._url + path, timeout=20, trust_env=False)

    def deliver(self) -> httpx.Response:
        """The answer to an event."""
        envelope = Envelope(received(), "/pocwhisp/test", datetime(2026, 7, 1, tzinfo=UTC))
        return httpx.post(
            self._url,
            content=json.dumps(envelope.structured()),
            headers={"content-type": "application/cloudevents+json"},
            timeout=60,
            trust_env=False,
        )

    def post(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """The answer on a connection of its own; `options` are httpx's."""
        return httpx.post(self._url + path, timeout=60, trust_env=False, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=20)

    def make(self, name: str) -> None:
        (self.folder / name).touch()

    def wait_for(self, name: str) -> None:
        """Return once the process has made this file."""
        eventually((self.folder / name).exists, f"the file {name}", 30)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(30)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it logged, each line as the JSON object that it must be."""
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


@contextmanager
def served(
    folder: Path, source: Path = SOURCE, alive: str = "/alive", **environment: str
) -> Iterator[ServedFunction]:
    """The function, as soon as it answers at `alive`; killed at the end."""
    port = free_port()
    env = {"PYTHONPATH": str(ROOT), "FOLDER": str(folder), "PORT": str(port), **environment}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", source],
            cwd=folder,
            env={**os.environ, **env},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        function = ServedFunction(folder, port, process)
        try:
            eventually(lambda: answers(function, alive), "the function", 30)
            yield function
        finally:
            process.kill()
            process.wait()


def answers(function: ServedFunction, alive: str) -> bool:
    assert function.process.poll() is None, (function.folder / "log").read_text()
    try:
        return function.get(alive).is_success
    except httpx.TransportError:
        return False
