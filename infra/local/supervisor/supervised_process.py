"""One process of the stack: started, logged, restarted when it dies, ended with its group."""

import asyncio
import contextlib
import re
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable

from infra.local.errors import StartFailed
from infra.local.supervisor.guard import kill_group
from infra.local.supervisor.guard_processes import GuardProcesses
from infra.local.supervisor.log import Sink
from infra.local.supervisor.process import (
    Program,
    RunningProcess,
    lines,
    probe_succeeds,
    spawn,
    until_hung,
)
from infra.local.supervisor.waiting import back_off, describe_exit, pause, until
from shared.tasks import uninterrupted

OUTPUT_TIMEOUT = 1.0
"""Seconds to wait for the rest of a process's output once it has ended."""
TAIL_LINES = 20
HEALTHY = 10.0
"""Seconds that a process must run for its next restart to come at once."""


class SupervisedProcess:
    """A process through all its restarts. `changed` is called when its pid or readiness changes.

    It is not probed before `after` is set, if that is given: what it needs is not there yet.
    Its task is never cancelled: `stop` sets an event, at which the task ends the process and
    releases what belongs to it.
    """

    def __init__(
        self,
        program: Program,
        guards: GuardProcesses,
        sink: Sink,
        changed: Callable[[], None],
        after: asyncio.Event | None = None,
    ) -> None:
        self.program = program
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.ready = asyncio.Event()
        self._exits = 0
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._guards = guards
        self._sink = sink
        self._changed = changed
        self._after = after
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._keep_running())

    async def started(self, deadline: float) -> None:
        """Wait until it is ready. Raises `StartFailed` if it ends for good, or after a deadline.

        The `deadline` is in seconds, from the moment at which `after` is set.
        """
        if self._after is not None:
            await self._reached(self._after, None)
        if not await self._reached(self.ready, deadline):
            raise self.failure(f"it was not ready after {deadline:g} s")

    async def _reached(self, event: asyncio.Event, deadline: float | None) -> bool:
        """Wait for the event, at most `deadline` seconds. Raises `StartFailed` if it ends first."""
        waiting = asyncio.create_task(event.wait())
        try:
            done, _ = await asyncio.wait(
                {waiting, self._task}, timeout=deadline, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()
        if self._task in done and waiting not in done:
            raise self.failure(
                f"it ended with {describe_exit(self.exit_code)}{_times(self._exits)}"
            )
        return waiting in done

    async def ended(self) -> int | None:
        """Wait until it has ended for good. Returns its last exit code, negative for a signal."""
        await asyncio.wait({self._task})
        return self.exit_code

    async def stop(self) -> None:
        """End it and its group, and wait until they are gone, even if cancelled meanwhile."""
        self._stopping.set()
        await uninterrupted(asyncio.wait({self._task}))

    def failure(self, reason: str) -> StartFailed:
        return StartFailed(self.program.name, reason, self._tail)

    async def _keep_running(self) -> None:
        tries, delays = self.program.tries, back_off()
        while not self._stopping.is_set():
            began = time.monotonic()
            if await self._run():
                tries = sys.maxsize
            self._exits += 1
            if not self.program.restart or self._exits >= tries or self._stopping.is_set():
                return
            delays = back_off() if time.monotonic() - began > HEALTHY else delays
            delay = next(delays)
            self._log(f"ended with {describe_exit(self.exit_code)}; starts again in {delay:g} s")
            await pause(delay, self._stopping)

    async def _run(self) -> bool:
        """Run it once, until it ends or `stop` ends it. Returns whether it was ready."""
        self._tail.clear()
        try:
            running = await spawn(self.program)
        except Exception as error:  # noqa: BLE001 - of any kind: it is tried again
            self._log(f"cannot run: {error}")
            return False
        self._set_running(running.pid)
        reading = asyncio.create_task(self._or_kill(self._read_output, running))
        starting = asyncio.create_task(self._or_kill(self._until_ready, running))
        probing = asyncio.create_task(self._or_kill(self._kill_if_hung, running))
        try:
            await self._until_ended(running)
        finally:
            kill_group(running.pid)
            starting.cancel()
            probing.cancel()
            self.exit_code = await running.ended()
            await asyncio.wait({reading, starting, probing}, timeout=OUTPUT_TIMEOUT)
            reading.cancel()
            running.pipe.close()
            was_ready = self._set_ended(running.pid)
        return was_ready

    async def _or_kill(
        self, watch: Callable[[RunningProcess], Awaitable[None]], running: RunningProcess
    ) -> None:
        """Watch the process. One that cannot be watched any more is killed, to start again."""
        try:
            await watch(running)
        except Exception as error:  # noqa: BLE001 - a defect of a probe, whatever it is
            self._log(f"cannot be watched: {error!r}; killed")
            kill_group(running.pid)

    def _set_running(self, pid: int) -> None:
        self._guards.watch(pid)
        self.pid = pid
        self._changed()

    def _set_ended(self, pid: int) -> bool:
        self._guards.unwatch(pid)
        self.pid, was_ready = None, self.ready.is_set()
        self.ready.clear()
        self._changed()
        return was_ready

    async def _until_ended(self, running: RunningProcess) -> None:
        ended = asyncio.create_task(running.ended())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._terminate(running)
        finally:
            ended.cancel()
            stopping.cancel()

    async def _terminate(self, running: RunningProcess) -> None:
        """Send the stop signal, and wait for the end, at most for the grace."""
        with contextlib.suppress(ProcessLookupError):
            running.process.send_signal(self.program.stop_signal)
        try:
            async with asyncio.timeout(self.program.grace):
                await running.ended()
        except TimeoutError:
            self._log(f"did not stop within {self.program.grace:g} s; killed")

    async def _read_output(self, running: RunningProcess) -> None:
        ready = self.program.ready
        async for line in lines(running.output):
            self._log(line)
            if isinstance(ready, re.Pattern) and ready.search(line):
                self._set_ready()

    async def _until_ready(self, _: RunningProcess) -> None:
        ready = self.program.ready
        if isinstance(ready, re.Pattern):
            return  # the line that shows it sets it
        if self._after is not None:
            await self._after.wait()
        if ready is not None:
            await until(lambda: probe_succeeds(ready))
        self._set_ready()

    async def _kill_if_hung(self, running: RunningProcess) -> None:
        liveness = self.program.liveness
        if liveness is None:
            return
        if self._after is not None:
            await self._after.wait()
        await until_hung(liveness, self.ready)
        if not self._stopping.is_set():
            self._log("does not answer; killed")
            kill_group(running.pid)

    def _set_ready(self) -> None:
        if not self.ready.is_set():
            self.ready.set()
            self._changed()

    def _log(self, line: str) -> None:
        self._tail.append(line)
        with contextlib.suppress(Exception):  # what the sink cannot do stops the log alone
            self._sink(self.program.name, line)


def _times(deaths: int) -> str:
    return f" ({deaths} times)" if deaths > 1 else ""
