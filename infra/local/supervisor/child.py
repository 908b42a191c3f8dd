"""One process of the stack: started, listened to, restarted when it dies, ended with its group."""

import asyncio
import contextlib
import re
import sys
import time
from collections import deque
from collections.abc import Callable

from infra.local.errors import StartFailed
from infra.local.supervisor.guard import kill_group
from infra.local.supervisor.guards import Guards
from infra.local.supervisor.log import Sink
from infra.local.supervisor.process import Process, Running, answers, lines, spawn, until_it_hangs
from infra.local.supervisor.waiting import back_off, in_words, outlasting, pause, until

LAST_WORDS = 1.0
"""Seconds to wait for the rest of its output once a process is dead."""
TAIL = 20
HEALTHY = 10.0
"""Seconds of life after which a process that dies is again restarted at once."""


class Child:
    """A process through all its restarts. `changed` is called when its pid or readiness changes.

    Nothing of it is ever cancelled half-way: it is asked to stop, and does so at the next moment
    at which it can leave nothing behind.
    """

    def __init__(
        self, process: Process, guards: Guards, sink: Sink, changed: Callable[[], None]
    ) -> None:
        self.process = process
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.ready = asyncio.Event()
        self._deaths = 0
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._guards = guards
        self._sink = sink
        self._changed = changed
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._keep())

    async def started(self, deadline: float) -> None:
        """Wait until it is ready. Raise `StartFailed` if it ends or takes `deadline` seconds."""
        ready = asyncio.create_task(self.ready.wait())
        try:
            done, _ = await asyncio.wait(
                {ready, self._task}, timeout=deadline, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
        if not done:
            raise self.failure(f"it was not ready after {deadline:g} s")
        if ready not in done:
            raise self.failure(f"it ended with {in_words(self.exit_code)}{_times(self._deaths)}")

    async def ended(self) -> int | None:
        """Wait until it is restarted no more; its last exit code, negative for a signal."""
        await asyncio.wait({self._task})
        return self.exit_code

    async def stop(self) -> None:
        """End it and its group; return when they are gone, even if cancelled meanwhile."""
        self._stopping.set()
        await outlasting(asyncio.wait({self._task}))

    def failure(self, reason: str) -> StartFailed:
        return StartFailed(self.process.name, reason, self._tail)

    async def _keep(self) -> None:
        tries, delays = self.process.tries, back_off()
        while not self._stopping.is_set():
            began = time.monotonic()
            if await self._run():
                tries = sys.maxsize
            self._deaths += 1
            if not self.process.restart or self._deaths >= tries or self._stopping.is_set():
                return
            delays = back_off() if time.monotonic() - began > HEALTHY else delays
            delay = next(delays)
            self._write(f"ended with {in_words(self.exit_code)}; starts again in {delay:g} s")
            await pause(delay, self._stopping)

    async def _run(self) -> bool:
        """Run it once, to its own end or the one `stop` brings; whether it was ready."""
        self._tail.clear()
        try:
            running = await spawn(self.process)
        except OSError as error:
            self._write(f"cannot run: {error}")
            return False
        self._begin(running.pid)
        listening = asyncio.create_task(self._listen(running.output))
        probing = asyncio.create_task(self._probe(running.pid))
        try:
            await self._until_ended(running)
        finally:
            kill_group(running.pid)
            probing.cancel()
            self.exit_code = await running.ended()
            await asyncio.wait({listening, probing}, timeout=LAST_WORDS)
            listening.cancel()
            running.pipe.close()
            was_ready = self._finish(running.pid)
        return was_ready

    def _begin(self, pid: int) -> None:
        self._guards.watch(pid)
        self.pid = pid
        self._changed()

    def _finish(self, pid: int) -> bool:
        self._guards.forget(pid)
        self.pid, was_ready = None, self.ready.is_set()
        self.ready.clear()
        self._changed()
        return was_ready

    async def _until_ended(self, running: Running) -> None:
        ended = asyncio.create_task(running.ended())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._end(running)
        finally:
            ended.cancel()
            stopping.cancel()

    async def _end(self, running: Running) -> None:
        """Ask the process; what is left of its group after the grace is killed."""
        with contextlib.suppress(ProcessLookupError):
            running.process.send_signal(self.process.stop_signal)
        try:
            async with asyncio.timeout(self.process.grace):
                await running.ended()
        except TimeoutError:
            self._write(f"did not stop within {self.process.grace:g} s; killed")

    async def _listen(self, output: asyncio.StreamReader) -> None:
        ready = self.process.ready
        async for line in lines(output):
            self._write(line)
            if isinstance(ready, re.Pattern) and ready.search(line):
                self._is_ready()

    async def _probe(self, pid: int) -> None:
        """Find out that it is ready; from then on, kill it if it hangs."""
        ready, liveness = self.process.ready, self.process.liveness
        if isinstance(ready, re.Pattern):
            await self.ready.wait()
        elif ready is not None:
            await until(lambda: answers(ready))
        self._is_ready()
        if liveness is not None:
            await until_it_hangs(liveness)
            if not self._stopping.is_set():
                self._write("does not answer any more; killed")
                kill_group(pid)

    def _is_ready(self) -> None:
        if not self.ready.is_set():
            self.ready.set()
            self._changed()

    def _write(self, line: str) -> None:
        self._tail.append(line)
        with contextlib.suppress(OSError):  # a full disk or a closed pipe stops the log alone
            self._sink(self.process.name, line)


def _times(deaths: int) -> str:
    return f" ({deaths} times)" if deaths > 1 else ""
