"""The server that a command uses: one named, the running stack, or one started for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from infra.cli.output import print_error
from infra.client.errors import ServerAway
from infra.local.stack import Stack, running_stack
from infra.local.supervisor.log import log_file


@asynccontextmanager
async def server_for(url: str | None, data: Path) -> AsyncIterator[Callable[[], str]]:
    """Tells the API's URL: the one given, that of the stack, or that of one started for now.

    It is asked anew each time, because a stack may come back at another port. Raise
    `CannotStart` if it cannot.
    """
    running = running_stack(data)
    if url is not None:
        yield lambda: url
    elif running is not None:
        yield lambda: (running_stack(data) or running).url
    else:
        print_error(f"No stack runs in {data}: starting one for this …")
        with log_file(data / "stack.log") as sink:
            async with Stack(data, port=0, sink=sink) as stack:
                yield lambda: stack.url


def broker_of(data: Path) -> str:
    """The running stack's broker. Raise `ServerAway` if none runs."""
    running = running_stack(data)
    if running is None:
        raise ServerAway(f"No stack runs in {data}. Start one with: pocwhisp up")
    return running.nats_url
