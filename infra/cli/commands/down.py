"""`pocwhisp down`: stop the stack and, with --delete, delete all that it kept."""

import os
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.exit_codes import Exit
from infra.cli.options import Data
from infra.cli.output import print_error, print_line
from infra.cli.run import run

PATIENCE = 60.0
"""Seconds that a stack may take to stop."""
NESTED = ("demo", "evaluate")
"""Folders of further stacks within the data folder."""


def down(
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete its recordings, results and database, too.")
    ] = False,
    data: Data,
) -> None:
    """Stop the stack that runs, if one does, as Ctrl-C does; with --delete, forget everything."""
    stopped = _stop(data)
    if delete:
        run(_delete(data))
        print_line(f"{data.absolute()} is deleted.")
    elif not stopped:
        print_error(f"No stack runs in {data.absolute()}.")


def _stop(data: Path) -> bool:
    """Stop the stack, also one that is starting. Returns whether there was one.

    Raises `typer.Exit` if it does not stop.
    """
    from infra.local.state import running_stack, unready_stack

    info = running_stack(data)
    pid = unready_stack(data) if info is None else info.pid
    if pid is None:
        return False
    _end(pid)
    where = f"in {data.absolute()}" if info is None else f"at {info.url}"
    print_line(f"The stack {where} has stopped.")
    return True


def _end(pid: int) -> None:
    from infra.local.state import is_alive

    seen_at = datetime.now(UTC)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while is_alive(pid, before=seen_at):
        if time.monotonic() > deadline:
            print_error(f"pocwhisp: the stack (pid {pid}) has not stopped.")
            raise typer.Exit(Exit.FAILED)
        time.sleep(0.05)


async def _delete(data: Path) -> None:
    from infra.local.stack import delete_stack

    for folder in (*(data / name for name in NESTED), data):
        if folder.exists():
            delete_stack(folder)
