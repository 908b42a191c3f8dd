"""The supervisor's end of its guards.

There are two, so that one is there while the other, killed, is replaced.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from infra.local.supervisor import guard
from infra.local.supervisor.waiting import back_off, in_words, outlasting, pause

GUARDS = 2


class Guards:
    """Whoever of them outlives the supervisor kills all process groups it watched.

    `hold` are file descriptors that a guard keeps open until all groups are dead: a lock held
    through one is freed no sooner. `write` gets a line when one has to be replaced.
    """

    def __init__(self, hold: Iterable[int], write: Callable[[str], None]) -> None:
        self._groups: set[int] = set()
        self._guards = [_Guard(self._groups, tuple(hold), write) for _ in range(GUARDS)]

    async def open(self) -> None:
        """Return when all of them run."""
        await asyncio.gather(*(each.start() for each in self._guards))

    async def close(self) -> None:
        """Let them go; return when they are gone. They end the groups they still know."""
        await asyncio.gather(*(each.stop() for each in self._guards))

    def watch(self, group: int) -> None:
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    @property
    def pids(self) -> list[int]:
        """The present pids."""
        return [each.pid for each in self._guards if each.pid is not None]

    def _tell(self, line: str) -> None:
        for each in self._guards:
            each.tell(line)


class _Guard:
    """One guard through all its lives."""

    def __init__(
        self, groups: AbstractSet[int], hold: tuple[int, ...], write: Callable[[str], None]
    ) -> None:
        self.pid: int | None = None
        self._groups = groups
        self._hold = hold
        self._write = write
        self._pipe: int | None = None
        self._up, self._stopping = asyncio.Event(), asyncio.Event()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._keep())
        await self._up.wait()

    async def stop(self) -> None:
        self._stopping.set()
        self._close_pipe()
        await outlasting(asyncio.wait({self._task}))

    def tell(self, line: str) -> None:
        """Write to it, if it runs: one that is dead is told all when it is replaced."""
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.write(self._pipe, line.encode())

    async def _keep(self) -> None:
        for delay in back_off():
            if self._stopping.is_set():
                return
            exit_code = await self._run()
            if not self._stopping.is_set():
                self._write(f"ended with {in_words(exit_code)}; another one takes its place")
                await pause(delay, self._stopping)

    async def _run(self) -> int | None:
        """Run it to its end; its exit code, None if it cannot run."""
        read_end, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)  # one that hangs must not hold up its supervisor
        try:
            process = await self._spawn(read_end)
        except OSError:
            return None
        finally:
            os.close(read_end)
        self.pid = process.pid
        self.tell("".join(f"+{group}\n" for group in self._groups))
        self._up.set()
        try:
            return await process.wait()
        finally:
            self.pid = None
            self._close_pipe()

    async def _spawn(self, pipe: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", guard.__file__),
            stdin=pipe,
            pass_fds=self._hold,
            start_new_session=True,
        )

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
