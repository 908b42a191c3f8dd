"""A small supervisor: keeps programs running, and leaves none behind when it goes."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Self

from infra.local.supervisor.child import CannotStart, Child, StartFailed, until
from infra.local.supervisor.guard import Guard
from infra.local.supervisor.log import Sink, console, silent
from infra.local.supervisor.process import Probe, Process

__all__ = ["CannotStart", "Probe", "Process", "StartFailed", "Supervisor"]

DEADLINE = 60.0


class Supervisor:
    """Starts processes, restarts those that die, and stops all when its context ends.

    `sink` gets every line they write. `changed` is called whenever a pid or a readiness changes.
    `hold` are file descriptors that stay open until all processes are dead, even if this one is
    killed. The context must be entered in a thread that outlives it.
    """

    def __init__(
        self,
        sink: Sink | None = None,
        *,
        changed: Callable[[], None] = lambda: None,
        hold: Iterable[int] = (),
    ) -> None:
        self._sink = console() if sink is None else sink
        self._changed = changed
        self._hold = tuple(hold)
        self._children: dict[str, Child] = {}

    async def __aenter__(self) -> Self:
        self._guard = Guard(self._hold)
        return self

    async def __aexit__(self, *_: object) -> None:
        async with AsyncExitStack() as ending:
            ending.callback(self._guard.close)
            for layer in sorted({child.process.layer for child in self._children.values()}):
                ending.push_async_callback(self._stop_layer, layer)

    async def start(self, process: Process, *, deadline: float = DEADLINE) -> None:
        """Start it and wait, `deadline` seconds at most, until it is ready.

        Raise `StartFailed` if it does not get there.
        """
        if process.name in self._children:
            raise ValueError(f"There is a process {process.name} already.")
        child = Child(process, self._guard, self._sink, self._changed)
        self._children[process.name] = child
        await child.started(deadline)

    async def run(self, process: Process) -> None:
        """Run a program that ends by itself; what it writes shows only in a failure.

        Raise `StartFailed` unless it exits with 0.
        """
        child = Child(process, self._guard, silent, self._changed)
        try:
            if await child.ended() != 0:
                raise child.failure("it failed")
        finally:
            await child.stop()

    async def stop(self, *names: str) -> None:
        """Stop these for good, at the same time."""
        await asyncio.gather(*(self._children.pop(name).stop() for name in names))

    async def ready(
        self, name: str, *, after: int | None = None, deadline: float = DEADLINE
    ) -> None:
        """Wait until the process is ready, in a later life than the one with pid `after`.

        Raise `TimeoutError` at the deadline.
        """

        async def lives_again() -> bool:
            child = self._children[name]
            return child.ready.is_set() and child.pid != after

        async with asyncio.timeout(deadline):
            await until(lives_again)

    def pid_of(self, name: str) -> int | None:
        """Its present pid, None between two lives."""
        return self._children[name].pid

    @property
    def pids(self) -> dict[str, int]:
        """The present pids by name."""
        return {name: child.pid for name, child in self._children.items() if child.pid}

    async def _stop_layer(self, layer: int) -> None:
        await self.stop(*[n for n, child in self._children.items() if child.process.layer == layer])
