"""A whole stack for tests, run as its user runs it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import httpx
import psycopg

from infra.local.stack import delete_stack
from infra.local.state import StackState, running_stack
from tests.support.waiting import eventually

T = TypeVar("T")
Body: TypeAlias = dict[str, Any]
ROOT = Path(__file__).parents[2]
SAMPLE_CALL = ROOT / "tests" / "calls" / "support.wav"
POCWHISP = [sys.executable, "-m", "infra.cli"]


class RunningStack:
    """A stack that `pocwhisp up` holds."""

    def __init__(self, data: Path, process: subprocess.Popen[bytes]) -> None:
        self.data = data
        self.process = process
        self.http = httpx.Client(base_url=self.info.url, timeout=120.0)

    @property
    def info(self) -> StackState:
        info = running_stack(self.data)
        assert info is not None, "the stack has ended"
        return info

    @property
    def blobs(self) -> list[Path]:
        """Every file under the blob store, temporary ones included."""
        return sorted(path for path in (self.data / "blobs").rglob("*") if path.is_file())

    def recordings(self) -> list[str]:
        """The ids of all recordings on record."""
        assert self.info.database_url is not None
        with psycopg.connect(self.info.database_url) as connection:
            return [str(row[0]) for row in connection.execute("SELECT id FROM pocwhisp.recordings")]

    def pid(self, name: str) -> int:
        """The present pid of a process, waiting for its restart if need be."""
        return eventually(lambda: self.info.processes.get(name), f"a process {name}")

    def post(self, audio: Path = SAMPLE_CALL, **options: str) -> httpx.Response:
        """Upload a recording; `options` are query parameters."""
        with audio.open("rb") as content:
            files = {"audio": (audio.name, content, "audio/wav")}
            return self.http.post("/api/v1/transcribe", files=files, params=options)

    def ended(self, session_id: str, seconds: float = 90.0) -> Body:
        """The recording's body once its run has ended."""

        def look() -> Body | None:
            body = self.http.get(f"/api/v1/transcribe/{session_id}").json()
            return body if body["status"] in {"completed", "failed", "cancelled"} else None

        return eventually(look, f"the end of {session_id}", seconds)


def completed(response: httpx.Response) -> Body:
    """The body of a recording that was waited for."""
    assert response.status_code == 200, response.text
    body: Body = response.json()
    assert body["status"] == "completed"
    return body


@contextmanager
def stopped(stack: RunningStack, *names: str) -> Iterator[dict[str, int]]:
    """Hold processes still (SIGSTOP) while the context lasts; their pids by name."""
    pids = {name: stack.pid(name) for name in names}
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    try:
        yield pids
    finally:
        for pid in pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def running(data: Path, **env: str) -> Iterator[RunningStack]:
    """Run `pocwhisp up` on the folder as `up` does, and delete what it kept."""
    try:
        with up(data, **env) as stack:
            yield stack
    finally:
        delete_stack(data)


@contextmanager
def up(data: Path, **env: str) -> Iterator[RunningStack]:
    """Run `pocwhisp up` on the folder; stop it with SIGTERM and expect exit code 0.

    A function that a test holds still is not taken for one that hangs, unless `env` says so.
    """
    with (data / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [*POCWHISP, "up", "--port", "0", "--data", str(data)],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "ALIVE_LIMIT": "600", **env},
        )
        try:
            eventually(lambda: running_stack(data) or process.poll() is not None, "the stack")
            assert process.poll() is None, (data / "up.log").read_text()
            stack = RunningStack(data, process)
            yield stack
            stack.http.close()
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
    assert code == 0, (data / "up.log").read_text()
