"""A process of the stack: how it starts, what it prints, and the probes that watch it."""

import asyncio
import ctypes
import functools
import os
import pwd
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from infra.local.supervisor.guard import kill_group
from infra.local.supervisor.waiting import Condition
from shared.tasks import uninterrupted

PROBE_TIMEOUT = 30.0
CHUNK = 1 << 16
LONGEST_LINE = 1 << 20
PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


@dataclass(frozen=True, kw_only=True)
class LivenessProbe:
    """How to find out that a process hangs, after which it is killed.

    A process that refuses connections after its first answer is left alone: it drains.
    """

    probe: str | Condition
    """A URL that answers anything at all, or a coroutine function that returns whether the process
    is healthy; a False before its first True is no failure."""
    period: float = 5.0
    """Seconds between two probes."""
    timeout: float = 10.0
    """Seconds after which a probe without an answer has failed."""
    failure_threshold: int = 2
    """Probes in a row that must fail."""
    startup_limit: float = 600.0
    """Seconds in which the first answer must come; a store may have files to recover first."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to keep running."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the supervisor's own environment."""
    ready: str | re.Pattern[str] | Condition | None = None
    """A URL that answers 200, a pattern found in a line that the process writes, or a coroutine
    function that returns whether it is ready and may raise `OSError` if it is not. None: it is
    ready as soon as it runs."""
    liveness: LivenessProbe | None = None
    """Checked from its start on. None: nobody notices that it hangs."""
    restart: bool = True
    """Whether it is started again when it ends."""
    tries: int = 5
    """How often it may die before it was ever ready."""
    layer: int = 0
    """Of all processes, those of the highest layer are stopped first."""
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    """Seconds between `stop_signal` and SIGKILL."""
    account: str | None = None
    """The system account to run as, for a supervisor that is root. None: the supervisor's own."""


@dataclass(frozen=True)
class RunningProcess:
    """A running process, with its output and the pipe it comes through."""

    process: asyncio.subprocess.Process
    output: asyncio.StreamReader
    pipe: asyncio.ReadTransport

    @property
    def pid(self) -> int:
        return self.process.pid

    async def ended(self) -> int:
        """Wait for its end. Returns its exit code, negative for a signal."""
        return await self.process.wait()


async def spawn(program: Program) -> RunningProcess:
    """Start it in a session of its own. If cancelled, no process is left.

    Its output comes in a pipe that surviving grandchildren cannot keep open.
    """
    output, pipe, write_end = await _output_pipe()
    try:
        return RunningProcess(await _fork(program, write_end), output, pipe)
    except BaseException:
        pipe.close()
        raise
    finally:
        os.close(write_end)


async def _output_pipe() -> tuple[asyncio.StreamReader, asyncio.ReadTransport, int]:
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    try:
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb")
        )
    except BaseException:
        os.close(write_end)
        raise
    return reader, pipe, write_end


async def _fork(program: Program, output: int) -> asyncio.subprocess.Process:
    started: list[asyncio.subprocess.Process] = []

    async def start() -> None:
        started.append(
            await asyncio.create_subprocess_exec(
                *program.argv,
                env=os.environ | dict(program.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=functools.partial(_die_with_parent, os.getpid()),
                **run_as(program.account),
            )
        )

    try:
        await uninterrupted(start())
    except asyncio.CancelledError:
        for running in started:
            kill_group(running.pid)
            await uninterrupted(running.wait())
        raise
    return started[0]


def run_as(account: str | None) -> dict[str, Any]:
    """Return the arguments of `subprocess` that run a program as the account; none for None."""
    if account is None:
        return {}
    entry = pwd.getpwnam(account)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _die_with_parent(supervisor: int) -> None:
    """Have the kernel kill this child when its parent dies (Linux); runs between fork and exec.

    The kernel means the thread that forked: the event loop must not outlive its own. The guard
    does the same for whole groups; this covers the instant before the child is watched.
    """
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != supervisor:
            os._exit(1)


async def probe_succeeds(probe: str | Condition) -> bool:
    """Whether the probe returns True, or the URL answers 200."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            return await (has_status(probe, "200") if isinstance(probe, str) else probe())
    except (OSError, EOFError, ValueError):
        return False


async def until_hung(liveness: LivenessProbe, ready: asyncio.Event) -> None:
    """Wait until the process hangs: it answers no more, or has neither begun to nor got ready."""
    clock = asyncio.get_running_loop().time
    end, failures = clock() + liveness.startup_limit, 0
    answered = was_healthy = False
    while failures < liveness.failure_threshold and (answered or clock() < end):
        await asyncio.sleep(liveness.period)
        try:
            healthy = await _is_healthy(liveness)
        except TimeoutError:
            answered = answered or ready.is_set()
            failures += answered
        except (OSError, EOFError):  # it refuses connections
            failures = 0
        else:
            answered, was_healthy = True, was_healthy or healthy
            failures = 0 if healthy or not was_healthy else failures + 1


async def _is_healthy(liveness: LivenessProbe) -> bool:
    """Probe once. Raises `TimeoutError` if it is silent, or `OSError` if nobody listens."""
    probe = liveness.probe
    async with asyncio.timeout(liveness.timeout):
        try:
            return await (has_status(probe) if isinstance(probe, str) else probe())
        except ValueError:  # what it answers is no HTTP
            return False


async def has_status(url: str, status: str = "") -> bool:
    """Whether the URL answers with the status, any if empty. Raises `OSError` if none listens."""
    to = urlsplit(url)
    reader, writer = await asyncio.open_connection(to.hostname, to.port)
    try:
        request = f"GET {to.path or '/'} HTTP/1.1\r\nHost: {to.netloc}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        answer = await reader.readline()
        return answer.startswith(b"HTTP/") and f" {status}".encode() in answer
    finally:
        writer.close()


async def lines(output: asyncio.StreamReader) -> AsyncIterator[str]:
    """Yield the output line by line; a line longer than LONGEST_LINE comes in pieces."""
    rest = b""
    while chunk := await output.read(CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            whole, rest = [*whole, rest], b""
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace")
