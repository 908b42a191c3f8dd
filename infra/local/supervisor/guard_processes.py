"""The guards of a supervisor.

There are two, so that one remains while the other, if it was killed, is replaced.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from infra.local.errors import CannotStart
from infra.local.supervisor import guard
from infra.local.supervisor.waiting import back_off, describe_exit, pause
from shared.tasks import uninterrupted

GUARDS = 2
START_LIMIT = 30.0
"""Seconds in which the guards must run; a machine without free processes never starts them."""


class GuardProcesses:
    """Guard processes, which kill all watched process groups if the supervisor is killed.

    Each guard keeps the file descriptors `inherited_fds` open until all groups have ended, so a
    lock on one of them is released no sooner. `write` gets a line when a guard is replaced.
    """

    def __init__(self, inherited_fds: Iterable[int], write: Callable[[str], None]) -> None:
        self._groups: set[int] = set()
        self._guards = [_Guard(self._groups, tuple(inherited_fds), write) for _ in range(GUARDS)]

    async def open(self) -> None:
        """Start the guards, and wait until all of them run. Raises `CannotStart` after a limit."""
        try:
            async with asyncio.timeout(START_LIMIT):
                await asyncio.gather(*(guard_process.start() for guard_process in self._guards))
        except TimeoutError:
            raise CannotStart(
                f"The guards of the stack did not start within {START_LIMIT:g} s: the machine has"
                " no room for further processes or open files."
            ) from None

    async def close(self) -> None:
        """Stop the guards, and wait until they are gone. They end the groups still watched."""
        await asyncio.gather(*(guard_process.stop() for guard_process in self._guards))

    def watch(self, group: int) -> None:
        self._groups.add(group)
        self._send(f"+{group}\n")

    def unwatch(self, group: int) -> None:
        self._groups.discard(group)
        self._send(f"-{group}\n")

    @property
    def pids(self) -> list[int]:
        """The present pids."""
        return [
            guard_process.pid for guard_process in self._guards if guard_process.pid is not None
        ]

    def _send(self, line: str) -> None:
        for guard_process in self._guards:
            guard_process.send(line)


class _Guard:
    """One guard through all its restarts."""

    def __init__(
        self, groups: AbstractSet[int], inherited_fds: tuple[int, ...], write: Callable[[str], None]
    ) -> None:
        self.pid: int | None = None
        self._groups = groups
        self._inherited_fds = inherited_fds
        self._write = write
        self._pipe: int | None = None
        self._running, self._stopping = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._keep_running())
        await self._running.wait()

    async def stop(self) -> None:
        self._stopping.set()
        self._close_pipe()
        if self._task is not None:
            await uninterrupted(asyncio.wait({self._task}))

    def send(self, line: str) -> None:
        """Write to it, if it runs: its replacement gets all groups anyway."""
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.write(self._pipe, line.encode())

    async def _keep_running(self) -> None:
        for delay in back_off():
            if self._stopping.is_set():
                return
            exit_code = await self._run()
            if not self._stopping.is_set():
                self._write(f"ended with {describe_exit(exit_code)}; another one takes its place")
                await pause(delay, self._stopping)

    async def _run(self) -> int | None:
        """Run it to its end. Returns its exit code, None if it cannot run."""
        try:
            process = await self._spawn()
            self.pid = process.pid
            self.send("".join(f"+{group}\n" for group in self._groups))
            self._running.set()
            return await process.wait()
        except OSError:
            return None
        finally:
            self.pid = None
            self._close_pipe()

    async def _spawn(self) -> asyncio.subprocess.Process:
        """Start it with a pipe from this process. Raises `OSError`; `_pipe` may be open then."""
        read_end, self._pipe = os.pipe()
        try:
            os.set_blocking(self._pipe, False)  # one that hangs must not block its supervisor
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", guard.__file__),
                stdin=read_end,
                pass_fds=self._inherited_fds,
                start_new_session=True,
            )
        finally:
            os.close(read_end)

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
