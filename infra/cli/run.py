"""Running a command's work to its end, or to the signal that ends it."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

import typer

from infra.cli.exit_codes import code_of, code_of_signal
from infra.cli.output import print_error
from infra.client.errors import ServerError
from infra.local.errors import CannotStart

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C; a supervisor, Docker or a time limit; the terminal that was closed."""


class Stopped(Exception):
    """The work was cancelled by a signal, and everything it had begun has ended."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the work; whatever ends it early is an exit code.

    What a user can mend is told in one line. A signal cancels the work once, and what it cleans
    up is never cut off by another one. Raises `typer.Exit`.
    """
    try:
        return asyncio.run(_stoppable(work))
    except Stopped as stopped:
        raise typer.Exit(code_of_signal(stopped.number)) from None
    except BrokenPipeError:
        raise
    except (ServerError, CannotStart, OSError) as error:
        print_error(f"pocwhisp: {_sentence(error)}")
        raise typer.Exit(code_of(error)) from error


def run_until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run work that Ctrl-C or SIGTERM ends, as its user means it to: with exit code 0."""
    try:
        run(work)
    except typer.Exit as ended:
        if ended.exit_code not in map(code_of_signal, (signal.SIGINT, signal.SIGTERM)):
            raise


def exit_on_signals() -> None:
    """Let signals end the process without a traceback while no work runs, as during imports."""
    for number in _heeded():
        signal.signal(number, _exit)


async def _stoppable(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.create_task(work)
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            task.cancel()

    for number in _heeded():
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise Stopped(received[0]) from None
        raise


def _heeded() -> list[signal.Signals]:
    """The signals that are not ignored, as those of `nohup` and of a shell's jobs are."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(code_of_signal(number))


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
