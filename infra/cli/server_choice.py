"""Chooses a command's server: the one named, the running stack, or one started for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.cli.output import print_error
from infra.client.errors import ServerAway
from infra.local.state import StackState, running_stack


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """The server of a command: that at `url`, or, without one, the stack of the folder `data`."""

    url: str | None
    data: Path

    @property
    def is_there(self) -> bool:
        """Whether no stack needs to be started."""
        return self.url is not None or running_stack(self.data) is not None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str | Callable[[], str]]:
        """Give the API's URL; that of a stack started for now if none runs.

        For a running stack it is a function that reads the URL again for each request, because
        the stack may come back at another port. Raises `CannotStart`.
        """
        running = running_stack(self.data)
        if self.url is not None:
            yield self.url
        elif running is not None:
            yield lambda: (running_stack(self.data) or running).url
        else:
            print_error(f"{none_runs_in(self.data)} Starting one for this …")
            async with _started_for_now(self.data) as started:
                yield started


@asynccontextmanager
async def _started_for_now(data: Path) -> AsyncIterator[str]:
    from infra.local.stack import Stack  # noqa: PLC0415 - a second to import
    from infra.local.supervisor.log import log_file  # noqa: PLC0415

    with log_file(data / "stack.log") as sink:
        async with Stack(data, port=0, sink=sink) as stack:
            yield stack.url


def none_runs_in(data: Path) -> str:
    """Return the sentence that no stack runs, with the folder's whole path."""
    return f"No stack runs in {data.absolute()}."


def stack_in(data: Path) -> StackState:
    """Return the running stack. Raises `ServerAway` if none runs."""
    running = running_stack(data)
    if running is None:
        raise ServerAway(f"{none_runs_in(data)} Start one with: pocwhisp up")
    return running
