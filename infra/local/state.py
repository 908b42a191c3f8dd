"""A stack's files in its data folder: the lock that it holds, and `stack.json` with its URLs."""

import errno
import fcntl
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import Field, ValidationError

from events.base import Frozen
from infra.local.errors import CannotStart
from infra.local.supervisor.waiting import until

STATE_FILE = "stack.json"
LOCK_FILE = "stack.lock"
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""Errors of a write, which name no file."""
LOCK_TIMEOUT = 10.0
"""Seconds in which the processes of a killed stack must have ended."""


class StackState(Frozen):
    """The content of `stack.json`: a running stack's URLs and pids."""

    pid: Annotated[int, Field(description="The process that holds the stack.")]
    url: Annotated[str, Field(description="Where ingest listens.")]
    started_at: Annotated[datetime, Field(description="When everything was ready first.")]
    nats_url: str
    database_url: Annotated[
        str | None, Field(description="Only of a database of its own: it holds no password.")
    ] = None
    processes: Annotated[dict[str, int], Field(description="Present pids by name.")]


def running_stack(data: Path) -> StackState | None:
    """Return the stack that runs on the data folder. Returns None if no stack is ready there."""
    try:
        info = StackState.model_validate_json((data / STATE_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    return info if is_alive(info.pid, before=info.started_at) else None


def unready_stack(data: Path) -> int | None:
    """Return the pid of a stack that is starting or stopping. Returns None if none is.

    Such a stack holds the lock, but `running_stack` does not find it.
    """
    with suppress(OSError):
        lock_fd = os.open(data / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, locked_at = _pid(lock_fd), os.fstat(lock_fd).st_mtime
            if pid is not None and is_alive(pid, before=datetime.fromtimestamp(locked_at, UTC)):
                return pid
        finally:
            os.close(lock_fd)
    return None


def write_state(data: Path, info: StackState) -> None:
    """Write `stack.json`, whole or not at all, readable by its own account only."""
    write_private(data / STATE_FILE, info.model_dump_json(indent=2))


def write_private(path: Path, text: str) -> None:
    """Write a file that only this account may read, from its first byte on.

    It appears whole or not at all. A link at `path` is replaced, not followed.
    """
    unfinished, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(unfinished, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)  # noqa: PTH105 - mkstemp gives no Path
    except BaseException:
        os.unlink(name)  # noqa: PTH108
        raise


def remove_state(data: Path) -> None:
    """Remove `stack.json`, as no stack runs any more."""
    (data / STATE_FILE).unlink(missing_ok=True)


@asynccontextmanager
async def lock(data: Path) -> AsyncIterator[int]:
    """Lock the data folder while the context lasts; gives the lock's file descriptor.

    Waits up to `LOCK_TIMEOUT` for a stack that was killed: its guards hold the lock until its
    processes have ended. Raises `CannotStart`, naming the pid, if another stack holds the lock,
    or if the folder cannot be used.
    """
    with _lock_file(data) as lock_fd:
        deadline = time.monotonic() + LOCK_TIMEOUT

        async def is_acquired() -> bool:
            return _acquire(lock_fd, data, may_wait=time.monotonic() < deadline)

        await until(is_acquired)
        yield lock_fd


@contextmanager
def lock_at_once(data: Path) -> Iterator[None]:
    """Lock the data folder without waiting. Raises `CannotStart` if a stack has locked it."""
    with _lock_file(data) as lock_fd:
        _acquire(lock_fd, data, may_wait=False)
        yield


@contextmanager
def _lock_file(data: Path) -> Iterator[int]:
    try:
        data.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock_fd = os.open(data / LOCK_FILE, flags, 0o600)
    except OSError as error:
        raise cannot_use(data, error) from error
    try:
        yield lock_fd
    finally:
        os.close(lock_fd)


def _acquire(lock_fd: int, data: Path, *, may_wait: bool) -> bool:
    """Try to lock; False if a dead stack holds the lock and `may_wait`. Raises `CannotStart`."""
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = _pid(lock_fd)
        if not may_wait or (pid is not None and is_alive(pid)):
            raise CannotStart(f"A stack runs on {data} already (pid {pid}).") from None
        return False
    try:
        os.ftruncate(lock_fd, 0)
        os.pwrite(lock_fd, json.dumps({"pid": os.getpid()}).encode(), 0)
    except OSError as error:
        raise cannot_use(data, error) from error
    return True


def is_of_folder(data: Path, error: OSError) -> bool:
    """Whether the error is about the data folder, a file in it or its disk."""
    if error.filename is None:
        return error.errno in DISK_ERRORS
    return Path(os.fsdecode(error.filename)).is_relative_to(data)


def cannot_use(data: Path, error: OSError) -> CannotStart:
    """Return the error that names what is wrong with the data folder, or with a file in it."""
    found = os.strerror(error.errno) if error.errno else str(error)
    where = Path(os.fsdecode(error.filename)) if error.filename else data
    if where == data and data.exists() and not data.is_dir():
        found = "it is no folder"
    return CannotStart(
        f"The stack cannot use {where}: {found}. Its data need a folder, --data, in which this"
        " account may write and whose disk has room."
    )


def is_alive(pid: int, before: datetime | None = None) -> bool:
    """Whether the process runs, and ran at the time `before`: the system uses pids again."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return before is None or process.create_time() <= before.timestamp() + 1
    return False


def _pid(lock_fd: int) -> int | None:
    try:
        return int(json.loads(os.pread(lock_fd, 1024, 0))["pid"])
    except (ValueError, KeyError):
        return None
