"""Running a command's work to its end, or to the signal that ends it."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import typer

from infra.cli.exit_codes import Exit, code_of
from infra.cli.output import print_error
from infra.client.errors import ServerError
from infra.local.supervisor.child import CannotStart

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the work. What a user can mend is told in one line, with its exit code."""
    try:
        return asyncio.run(work)
    except (ServerError, CannotStart) as error:
        print_error(f"pocwhisp: {error}")
        raise typer.Exit(code_of(error)) from error
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def run_until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run work that Ctrl-C or SIGTERM ends, as its user means it to."""
    run(_until_signal(work))


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)

    def stop() -> None:
        if not task.cancelling():  # a second Ctrl-C must not cut the clean-up off
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    with suppress(asyncio.CancelledError):
        await task
