"""What a stack leaves in its data folder: a lock while it lives, and a page saying where it is."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import Field, ValidationError

from events.base import Frozen
from infra.local.supervisor.child import CannotStart

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
    unfinished = data / f".{STATE}"
    unfinished.write_text(info.model_dump_json(indent=2), encoding="utf-8")
    unfinished.chmod(0o600)
    unfinished.replace(data / STATE)


def remove_state(data: Path) -> None:
    """No stack is there any more."""
    (data / STATE).unlink(missing_ok=True)


@contextmanager
def lock(data: Path) -> Iterator[int]:
    """Hold the data folder; the lock's file descriptor.

    Raise `CannotStart`, naming the pid, if another stack holds it. One that was killed has some
    seconds to go: its guard holds the lock until its processes are dead.
    """
    data.mkdir(parents=True, exist_ok=True)
    held = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(held, data)
        os.truncate(held, 0)
        os.pwrite(held, json.dumps({"pid": os.getpid()}).encode(), 0)
        yield held
    finally:
        os.close(held)


def is_alive(pid: int, before: datetime | None = None) -> bool:
    """Whether the process runs, and did so at that time: a pid may have been given anew."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return before is None or process.create_time() <= before.timestamp() + 1
    return False


def _take(held: int, data: Path) -> None:
    deadline = time.monotonic() + LEAVING
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _pid(held)
            if time.monotonic() > deadline or (pid is not None and is_alive(pid)):
                raise CannotStart(f"A stack runs on {data} already (pid {pid}).") from None
            time.sleep(0.05)
        else:
            return


def _pid(held: int) -> int | None:
    try:
        return int(json.loads(os.pread(held, 1024, 0))["pid"])
    except (ValueError, KeyError):
        return None
