"""Runs a command's work to its end, or to the signal that ends it."""

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
    """Run the work and return its result. Raises `typer.Exit` if an error or a signal ends it.

    Errors that a user can mend are printed in one line. The first signal cancels the work;
    further ones do not cut off its clean-up.
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
    """Run work that lasts until Ctrl-C or SIGTERM, which end it with exit code 0."""
    try:
        run(work)
    except typer.Exit as ended:
        if ended.exit_code not in map(code_of_signal, (signal.SIGINT, signal.SIGTERM)):
            raise


def exit_on_signals() -> None:
    """Have signals end the process without a traceback while no work runs, as during imports."""
    for number in _handled_signals():
        signal.signal(number, _exit)


async def _stoppable(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.create_task(work)
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            task.cancel()

    for number in _handled_signals():
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise Stopped(received[0]) from None
        raise


def _handled_signals() -> list[signal.Signals]:
    """Return the signals that are not ignored, as `nohup` and a shell's jobs ignore some."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(code_of_signal(number))


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
