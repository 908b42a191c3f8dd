"""Output of commands: results on standard output, all else on standard error."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

screen = Console()
error_screen = Console(stderr=True)


def print_line(message: str) -> None:
    """Print a line on standard output, as it is."""
    screen.print(message, markup=False, highlight=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Print a line on standard error, as it is."""
    error_screen.print(message, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def ignore_broken_pipe() -> Iterator[None]:
    """End in silence when nobody reads standard output any more, as after `| head`."""
    try:
        yield
    except BrokenPipeError:
        # Python flushes standard output once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
