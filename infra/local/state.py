"""What a stack leaves in its data folder: a lock while it lives, and a page saying where it is."""

import fcntl
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import Field, ValidationError

from events.base import Frozen
from infra.local.errors import CannotStart
from infra.local.supervisor.waiting import until

STATE = "stack.json"
LOCK = "stack.lock"
LEAVING = 10.0
"""Seconds that the processes of a killed stack are given to be gone."""


class StackInfo(Frozen):
    """A stack that runs."""

    pid: Annotated[int, Field(description="The process that holds the stack.")]
    url: Annotated[str, Field(description="Where ingest listens.")]
    started_at: Annotated[datetime, Field(description="When everything was ready first.")]
    nats_url: str
    database_url: Annotated[
        str | None, Field(description="Only of a database of its own: it holds no password.")
    ] = None
    processes: Annotated[dict[str, int], Field(description="Present pids by name.")]


def running_stack(data: Path) -> StackInfo | None:
    """The stack that runs on this data folder and is ready, if there is one."""
    try:
        info = StackInfo.model_validate_json((data / STATE).read_bytes())
    except (OSError, ValidationError):
        return None
    return info if is_alive(info.pid, before=info.started_at) else None


def write_state(data: Path, info: StackInfo) -> None:
    """Say where the stack is, whole or not at all, to its own account only."""
    write_private(data / STATE, info.model_dump_json(indent=2))


def write_private(path: Path, text: str) -> None:
    """Put a file there that only this account may read, from its first byte on.

    It appears whole or not at all, in the place of a link if there is one.
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
    """No stack is there any more."""
    (data / STATE).unlink(missing_ok=True)


@asynccontextmanager
async def lock(data: Path) -> AsyncIterator[int]:
    """Hold the data folder; the lock's file descriptor.

    Raise `CannotStart`, naming the pid, if another stack holds it, or if the folder cannot be
    used. A stack that was killed has some seconds to go: its guards hold the lock until its
    processes are dead.
    """
    with _lock_file(data) as held:
        deadline = time.monotonic() + LEAVING

        async def is_ours() -> bool:
            return _take(held, data, leaving=time.monotonic() < deadline)

        await until(is_ours)
        yield held


@contextmanager
def lock_at_once(data: Path) -> Iterator[None]:
    """Hold the data folder. Raise `CannotStart` if a stack, even a dying one, holds it."""
    with _lock_file(data) as held:
        _take(held, data, leaving=False)
        yield


@contextmanager
def _lock_file(data: Path) -> Iterator[int]:
    try:
        data.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        held = os.open(data / LOCK, flags, 0o600)
    except OSError as error:
        raise cannot_use(data, error) from error
    try:
        yield held
    finally:
        os.close(held)


def _take(held: int, data: Path, *, leaving: bool) -> bool:
    """Whether the lock is ours now; one of a dead stack may be waited for while it is `leaving`."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = _pid(held)
        if not leaving or (pid is not None and is_alive(pid)):
            raise CannotStart(f"A stack runs on {data} already (pid {pid}).") from None
        return False
    try:
        os.ftruncate(held, 0)
        os.pwrite(held, json.dumps({"pid": os.getpid()}).encode(), 0)
    except OSError as error:
        raise cannot_use(data, error) from error
    return True


def cannot_use(data: Path, error: OSError) -> CannotStart:
    """Say what is wrong with the data folder, or with a file that the stack needs."""
    found = os.strerror(error.errno) if error.errno else str(error)
    where = Path(os.fsdecode(error.filename)) if error.filename else data
    if where == data and data.exists() and not data.is_dir():
        found = "it is no folder"
    return CannotStart(
        f"The stack cannot use {where}: {found}. Its data need a folder, --data, in which this"
        " account may write and whose disk has room."
    )


def is_alive(pid: int, before: datetime | None = None) -> bool:
    """Whether the process runs, and did so at that time: a pid may have been given anew."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return before is None or process.create_time() <= before.timestamp() + 1
    return False


def _pid(held: int) -> int | None:
    try:
        return int(json.loads(os.pread(held, 1024, 0))["pid"])
    except (ValueError, KeyError):
        return None
