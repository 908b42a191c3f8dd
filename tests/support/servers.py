"""Real servers on free ports for tests: a broker, and a function whose answers the test writes."""

import asyncio
import json
import shutil
import socket
import subprocess
import sysconfig
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

from nats.js.errors import NotFoundError

from shared.bus import Bus

START_DEADLINE = 10.0
NATS_SERVER = Path(sysconfig.get_path("scripts")) / "nats-server"

DIE: Final = "die"
Answer: TypeAlias = int | tuple[int, bytes] | Literal["die"] | Callable[[], Awaitable[int]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class NatsServer:
    """A nats-server with JetStream; it keeps its port and what it stored through restarts."""

    def __init__(self, folder: Path, more: str = "", *, jetstream: bool = True) -> None:
        self._port = free_port()
        self._more = more
        self._jetstream = jetstream
        self._store = folder / "jetstream"
        self._config = folder / "nats.conf"
        self._log = folder / "nats.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        stored = f'jetstream {{ store_dir: "{self._store}" }}\n'
        self._config.write_text(
            f"host: 127.0.0.1\nport: {self._port}\n{self._more}\n"
            + (stored if self._jetstream else "")
        )
        arguments: list[str | Path] = [NATS_SERVER, "-c", self._config, "-l", self._log]
        self._process = subprocess.Popen(arguments)
        wait_for_port(self._port, START_DEADLINE)

    def stop(self) -> None:
        """Kill it: what it had not stored is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wipe(self) -> None:
        """Forget all streams and consumers; only while it is stopped."""
        shutil.rmtree(self._store)


@contextmanager
def nats_server(folder: Path, more: str = "", *, jetstream: bool = True) -> Iterator[NatsServer]:
    """A running broker that keeps its files in `folder`; `more` is added to its configuration."""
    server = NatsServer(folder, more, jetstream=jetstream)
    try:
        server.start()
        yield server
    finally:
        server.stop()


async def last_event(bus: Bus, subject: str) -> dict[str, Any] | None:
    """Return the last event that the broker keeps on `subject`, as structured JSON.

    Returns None if there is none.
    """
    stream = await bus.stream_context.find_stream_name_by_subject(subject)
    try:
        message = await bus.stream_context.get_last_msg(stream, subject)
    except NotFoundError:
        return None
    event: dict[str, Any] = json.loads(message.data or b"{}")
    return event


def wait_for_port(port: int, deadline: float) -> None:
    end = time.monotonic() + deadline
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


@dataclass(frozen=True)
class Posted:
    """One POST that a scripted function got; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)


class ScriptedFunction:
    """An HTTP server that answers each POST with the script's next answer, then with `default`.

    An answer is a status, a status with a body, `DIE` (the connection breaks), or a coroutine
    function that returns a status; or what `choose`, if given, returns for what came. `/alive`
    answers while `alive` is set, else it hangs.
    """

    def __init__(
        self,
        *script: Answer,
        default: Answer = 204,
        choose: Callable[[Posted], Answer] | None = None,
    ) -> None:
        self.choose = choose
        self.script: deque[Answer] = deque(script)
        self.default = default
        self.alive = asyncio.Event()
        self.alive.set()
        self.received: list[Posted] = []
        self.most_at_once = 0
        self.connections = 0
        self.probes = 0
        self._at_once = 0
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    def drain(self) -> None:
        """Take no connection any more, as at SIGTERM; those that are open stay."""
        if self._server is not None:
            self._server.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        try:
            while await self._answer_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = {name.lower(): text for name, text in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        answer: int | tuple[int, bytes] | str = 200
        if method == "GET":
            self.probes += 1
            await self.alive.wait()
        else:
            posted = Posted(path, headers, body)
            self.received.append(posted)
            answer = await self._answer_to(posted)
        if answer == DIE:
            writer.transport.abort()
            return False
        status, content = answer if isinstance(answer, tuple) else (answer, b"")
        length = "" if status == 204 else f"content-length: {len(content)}\r\n"
        writer.write(f"HTTP/1.1 {status} Scripted\r\n{length}\r\n".encode() + content)
        await writer.drain()
        return True

    async def _answer_to(self, posted: Posted) -> int | tuple[int, bytes] | Literal["die"]:
        answer = self.script.popleft() if self.script else self.default
        if self.choose is not None:
            answer = self.choose(posted)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await answer() if callable(answer) else answer
        finally:
            self._at_once -= 1
