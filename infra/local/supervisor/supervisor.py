"""A small supervisor: keeps programs running, and leaves none behind when it ends."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from typing import Self

from infra.local.supervisor.guard_processes import GuardProcesses
from infra.local.supervisor.log import Sink, console, silent
from infra.local.supervisor.process import Program
from infra.local.supervisor.supervised_process import SupervisedProcess
from infra.local.supervisor.waiting import until
from shared.tasks import uninterrupted

DEADLINE = 60.0


class Supervisor:
    """Starts processes, restarts those that die, and stops all when its context ends.

    `sink` gets every line they write. `changed` is called whenever a pid or a readiness changes.
    `inherited_fds` are file descriptors that stay open until all processes have ended, even if
    this one is killed. The context must be entered in a thread that outlives it.
    """

    def __init__(
        self,
        sink: Sink | None = None,
        *,
        changed: Callable[[], None] = lambda: None,
        inherited_fds: Iterable[int] = (),
    ) -> None:
        self._sink = console() if sink is None else sink
        self._changed = changed
        self._guards = GuardProcesses(inherited_fds, self._log_guard)
        self._children: dict[str, SupervisedProcess] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._guards.open()
        except BaseException:
            await uninterrupted(self._guards.close())
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all, layer by layer. A cancellation meanwhile is raised afterwards."""
        await uninterrupted(self._terminate())

    async def _terminate(self) -> None:
        async with AsyncExitStack() as ending:
            ending.push_async_callback(self._guards.close)
            for layer in sorted({child.program.layer for child in self._children.values()}):
                ending.push_async_callback(self._stop_layer, layer)

    async def start(
        self, program: Program, *, after: asyncio.Event | None = None, deadline: float = DEADLINE
    ) -> None:
        """Start a process and wait until it is ready.

        With `after`, it starts at once but is not probed before that event. Raises `StartFailed` if
        it ends for good, or `deadline` seconds after the event, or after its start without one.
        """
        await self._add(program, self._sink, after).started(deadline)

    async def run(self, program: Program) -> None:
        """Run a program that ends by itself; its output shows only in a failure.

        Raises `StartFailed` unless it exits with 0.
        """
        child = self._add(program, silent)
        try:
            if await child.ended() != 0:
                raise child.failure("it failed")
        finally:
            await self.stop(program.name)

    def _add(
        self, program: Program, sink: Sink, after: asyncio.Event | None = None
    ) -> SupervisedProcess:
        if program.name in self._children:
            raise ValueError(f"There is a process {program.name} already.")
        child = SupervisedProcess(program, self._guards, sink, self._changed, after)
        self._children[program.name] = child
        return child

    async def stop(self, *names: str) -> None:
        """Stop these processes for good, all at once, and wait until they are gone."""
        await uninterrupted(self._stop(names))

    async def _stop(self, names: Iterable[str]) -> None:
        await asyncio.gather(*(self._children[name].stop() for name in names))
        for name in names:
            self._children.pop(name, None)

    async def ready(
        self, name: str, *, after: int | None = None, deadline: float = DEADLINE
    ) -> None:
        """Wait until the process is ready; with `after`, until it has another pid than that, too.

        Raises `TimeoutError` after `deadline` seconds.
        """

        async def is_ready_again() -> bool:
            child = self._children[name]
            return child.ready.is_set() and child.pid != after

        async with asyncio.timeout(deadline):
            await until(is_ready_again)

    def pid_of(self, name: str) -> int | None:
        """Return the present pid. Returns None while the process is being restarted."""
        return self._children[name].pid

    @property
    def guard_pids(self) -> list[int]:
        """The present pids of the guards."""
        return self._guards.pids

    @property
    def pids(self) -> dict[str, int]:
        """The present pids by name."""
        return {name: child.pid for name, child in self._children.items() if child.pid}

    def _log_guard(self, line: str) -> None:
        with suppress(Exception):  # what the sink cannot do stops the log alone
            self._sink("guard", line)

    async def _stop_layer(self, layer: int) -> None:
        await self.stop(*[n for n, child in self._children.items() if child.program.layer == layer])
