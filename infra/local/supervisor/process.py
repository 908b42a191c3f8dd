"""What a process of the stack is: how it starts, what it says, how it tells that it is ready."""

import asyncio
import ctypes
import functools
import os
import pwd
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Probe: TypeAlias = Callable[[], Awaitable[bool]]

PROBE_TIMEOUT = 30.0
CHUNK = 1 << 16
LONGEST_LINE = 1 << 20
PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


@dataclass(frozen=True, kw_only=True)
class Process:
    """A program to keep running.

    `ready`: a URL that answers 200, a pattern found in a line it writes, or a coroutine function
    that says so (`OSError` means no); None: ready as soon as it runs. `env` is added to the
    supervisor's own. `tries`: how often it may die before it was ever ready. `layer`: the highest
    is stopped first. `grace`: seconds between `stop_signal` and SIGKILL. `account`: the system
    account to run as, for a supervisor that is root.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: str | re.Pattern[str] | Probe | None = None
    restart: bool = True
    tries: int = 1
    layer: int = 0
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    account: str | None = None


async def spawn(
    process: Process,
) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader, asyncio.ReadTransport]:
    """Start it in a session of its own, its output in a pipe that its escapees cannot keep open."""
    read_end, write_end = os.pipe()
    stream = os.fdopen(read_end, "rb")
    try:
        running = await asyncio.create_subprocess_exec(
            *process.argv,
            env=os.environ | dict(process.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            start_new_session=True,
            preexec_fn=functools.partial(_die_with, os.getpid()),
            **run_as(process.account),
        )
    except BaseException:
        stream.close()
        raise
    finally:
        os.close(write_end)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), stream
    )
    return running, reader, transport


def run_as(account: str | None) -> dict[str, Any]:
    """The arguments of `subprocess` for another account than ours."""
    if account is None:
        return {}
    entry = pwd.getpwnam(account)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _die_with(supervisor: int) -> None:
    """Between fork and exec: have the kernel kill this child when its parent dies (Linux).

    The kernel means the thread that forked: the event loop must not outlive its own. The guard
    does the same for whole groups; this covers the instant before it is told of the child.
    """
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != supervisor:
            os._exit(1)


async def answers(ready: str | Probe) -> bool:
    """Ask a probe, or a URL for a 200."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            return await (_get(ready) if isinstance(ready, str) else ready())
    except (OSError, EOFError):
        return False


async def _get(url: str) -> bool:
    to = urlsplit(url)
    reader, writer = await asyncio.open_connection(to.hostname, to.port)
    try:
        request = f"GET {to.path or '/'} HTTP/1.1\r\nHost: {to.netloc}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        return b" 200 " in await reader.readline()
    finally:
        writer.close()


async def lines(output: asyncio.StreamReader) -> AsyncIterator[str]:
    """The output line by line; one that is too long comes in pieces."""
    rest = b""
    while chunk := await output.read(CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            whole, rest = [*whole, rest], b""
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace")
