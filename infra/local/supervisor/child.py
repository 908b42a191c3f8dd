"""One process of the stack: started, listened to, restarted when it dies, ended with its group."""

import asyncio
import contextlib
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from infra.local.supervisor.guard import Guard, kill_group
from infra.local.supervisor.log import Sink
from infra.local.supervisor.process import Probe, Process, answers, lines, spawn

PROBE_EVERY = 0.05
LAST_WORDS = 1.0
"""Seconds to wait for the rest of its output once a process is dead."""
TAIL = 20
HEALTHY = 10.0
"""Seconds of life after which a process that dies is again restarted at once."""


class CannotStart(Exception):
    """Something of the stack does not start. The message is made for a person."""


class StartFailed(CannotStart):
    """A process died or stayed unready; the message names it and shows its last lines."""

    def __init__(self, name: str, reason: str, tail: Iterable[str]) -> None:
        lines = "".join(f"\n  {line}" for line in tail) or "\n  (it wrote nothing)"
        super().__init__(f"{name} did not start: {reason}. Its last lines:{lines}")
        self.name = name


class Child:
    """A process through all its restarts. `changed` is called when its pid or readiness changes."""

    def __init__(
        self, process: Process, guard: Guard, sink: Sink, changed: Callable[[], None]
    ) -> None:
        self.process = process
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.ready = asyncio.Event()
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._guard = guard
        self._sink = sink
        self._changed = changed
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
            raise self.failure(f"it ended with {in_words(self.exit_code)}")

    async def ended(self) -> int | None:
        """Wait until it is restarted no more; its last exit code, negative for a signal."""
        await asyncio.wait({self._task})
        return self.exit_code

    async def stop(self) -> None:
        """End it and its group; return when they are gone."""
        self._task.cancel()
        await asyncio.wait({self._task})

    def failure(self, reason: str) -> StartFailed:
        return StartFailed(self.process.name, reason, self._tail)

    async def _keep(self) -> None:
        tries, delays = self.process.tries, back_off()
        while True:
            began = time.monotonic()
            if await self._run():
                tries = sys.maxsize
            tries -= 1
            if not self.process.restart or tries == 0:
                return
            delays = back_off() if time.monotonic() - began > HEALTHY else delays
            delay = next(delays)
            self._write(f"ended with {in_words(self.exit_code)}; starts again in {delay:g} s")
            await asyncio.sleep(delay)

    async def _run(self) -> bool:
        """Run it once, to its own end or the one `stop` brings; whether it was ready."""
        try:
            running, output, pipe = await spawn(self.process)
        except OSError as error:
            self._write(f"cannot run: {error}")
            return False
        self._begin(running.pid)
        listening = asyncio.create_task(self._listen(output))
        probing = asyncio.create_task(self._probe())
        try:
            self.exit_code = await running.wait()
        except asyncio.CancelledError:
            await self._end(running)
            raise
        finally:
            kill_group(running.pid)
            probing.cancel()
            await asyncio.wait({listening}, timeout=LAST_WORDS)
            listening.cancel()
            pipe.close()
            was_ready = self._finish(running.pid)
        return was_ready

    def _begin(self, pid: int) -> None:
        self._guard.watch(pid)
        self.pid = pid
        self._changed()

    def _finish(self, pid: int) -> bool:
        self._guard.forget(pid)
        self.pid, was_ready = None, self.ready.is_set()
        self.ready.clear()
        self._changed()
        return was_ready

    async def _end(self, running: asyncio.subprocess.Process) -> None:
        """Ask the process; what is left of its group after the grace is killed."""
        with contextlib.suppress(ProcessLookupError):
            running.send_signal(self.process.stop_signal)
        try:
            async with asyncio.timeout(self.process.grace):
                await running.wait()
        except TimeoutError:
            self._write(f"did not stop within {self.process.grace:g} s; killed")
        finally:
            kill_group(running.pid)
            self.exit_code = await running.wait()

    async def _listen(self, output: asyncio.StreamReader) -> None:
        ready = self.process.ready
        async for line in lines(output):
            self._write(line)
            if isinstance(ready, re.Pattern) and ready.search(line):
                self._is_ready()

    async def _probe(self) -> None:
        ready = self.process.ready
        if isinstance(ready, re.Pattern):
            return
        if ready is not None:
            await until(lambda: answers(ready))
        self._is_ready()

    def _is_ready(self) -> None:
        self.ready.set()
        self._changed()

    def _write(self, line: str) -> None:
        self._tail.append(line)
        with contextlib.suppress(OSError):  # a full disk or a closed pipe stops the log alone
            self._sink(self.process.name, line)


async def until(holds: Probe, *, every: float = PROBE_EVERY) -> None:
    """Ask every so many seconds, until the answer is yes."""
    while True:
        if await holds():
            return
        await asyncio.sleep(every)


def back_off() -> Iterator[float]:
    """Seconds before each restart: none, then 0.2 doubling to 5."""
    yield 0.0
    delay = 0.2
    while True:
        yield delay
        delay = min(5.0, delay * 2)


def in_words(exit_code: int | None) -> str:
    """How a process ended, for a person."""
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return "no process" if exit_code is None else f"exit code {exit_code}"
