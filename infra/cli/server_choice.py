"""The server that a command uses: one named, the running stack, or one started for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from infra.cli.output import print_error
from infra.client.errors import ServerAway
from infra.local.state import StackInfo, running_stack


@asynccontextmanager
async def server_for(url: str | None, data: Path) -> AsyncIterator[str | Callable[[], str]]:
    """The API's URL: the one given, that of the stack, or that of one started for now.

    That of a running stack is asked for anew each time, because it may come back at another
    port. Raise `CannotStart` if none can be started.
    """
    running = running_stack(data)
    if url is not None:
        yield url
    elif running is not None:
        yield lambda: (running_stack(data) or running).url
    else:
        print_error(f"{none_runs_in(data)} Starting one for this …")
        async with _started_for_now(data) as started:
            yield started


@asynccontextmanager
async def _started_for_now(data: Path) -> AsyncIterator[str]:
    from infra.local.stack import Stack  # noqa: PLC0415 - a second to import
    from infra.local.supervisor.log import log_file  # noqa: PLC0415

    with log_file(data / "stack.log") as sink:
        async with Stack(data, port=0, sink=sink) as stack:
            yield stack.url


def none_runs_in(data: Path) -> str:
    """A sentence with the folder's whole path."""
    return f"No stack runs in {data.absolute()}."


def stack_in(data: Path) -> StackInfo:
    """The running stack. Raise `ServerAway` if none runs."""
    running = running_stack(data)
    if running is None:
        raise ServerAway(f"{none_runs_in(data)} Start one with: pocwhisp up")
    return running
