"""How a command ends: its exit code, and what it says when it cannot go on."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any, TypeVar

import typer
from rich.console import Console

from infra.client.client import Refused, ServerAway, ServerError
from infra.local.supervisor.child import CannotStart

T = TypeVar("T")


class Exit(IntEnum):
    """Exit codes of the command line, for scripts."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    AWAY = 3
    REFUSED = 4
    INTERRUPTED = 130


EXIT_CODES = (
    "Exit codes: 0 all completed, 1 some failed, 2 wrong usage, 3 the server is away or cannot"
    " start, 4 whatever is not completed was refused, 130 interrupted."
)
error_screen = Console(stderr=True)


def print_error(message: str) -> None:
    """Say something on standard error, as it is."""
    error_screen.print(message, markup=False, highlight=False, soft_wrap=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the work. What a user can mend is told in one line, with its exit code."""
    try:
        return asyncio.run(work)
    except (ServerError, CannotStart) as error:
        print_error(f"pocwhisp: {error}")
        raise typer.Exit(code_of(error)) from error
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run work that Ctrl-C or SIGTERM ends, as its user means it to."""
    run(_until_stopped(work))


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)

    def stop() -> None:
        if not task.cancelling():  # a second Ctrl-C must not cut the clean-up off
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    with suppress(asyncio.CancelledError):
        await task


def code_of(error: Exception) -> Exit:
    """The exit code for what ended a command."""
    if isinstance(error, ServerAway | CannotStart):
        return Exit.AWAY
    return Exit.REFUSED if isinstance(error, Refused) else Exit.FAILED


@contextmanager
def ignore_broken_pipe() -> Iterator[None]:
    """End in silence when nobody reads standard output any more, as after `| head`."""
    try:
        yield
    except BrokenPipeError:
        # Python flushes standard output once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
