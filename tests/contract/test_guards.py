"""Nothing outlives a supervisor that was killed, and its folder is free only afterwards."""

import asyncio
import errno
import itertools
import math
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from infra.local.errors import CannotStart
from infra.local.state import is_alive, lock, lock_at_once
from infra.local.supervisor import guard, guard_processes, log
from infra.local.supervisor.supervisor import Supervisor
from tests.support.processes import Lines, gone, numbers, python, shell, within

SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from infra.local.supervisor.process import Program
from infra.local.supervisor.supervisor import Supervisor

async def family(hold):
    async with Supervisor(inherited_fds=hold) as supervisor:
        script = "sleep 600 & echo grandchild $!; sleep 600"
        await supervisor.start(Program(name="parent", argv=["sh", "-c", script]))
        print("child", supervisor.pid_of("parent"), flush=True)
        for number, pid in enumerate(supervisor.guard_pids):
            print(f"guard{number}", pid, flush=True)
        await asyncio.Event().wait()

async def with_lock(data):
    from infra.local.state import lock  # it takes a while
    async with lock(data) as held:
        await family([held])

asyncio.run(with_lock(Path(sys.argv[1])) if sys.argv[1:] else family([]))
"""


@contextmanager
def supervisor(*data: Path) -> Iterator[tuple[subprocess.Popen[str], list[int], list[int]]]:
    """A supervisor of its own with a child and a grandchild, their pids, and its guards'."""
    with python(SUPERVISOR, *data) as process:
        pids = numbers(process, "child", "grandchild", "guard0", "guard1")
        yield process, pids[:2], pids[2:]


@contextmanager
def held_still(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_nothing_is_left_of_a_supervisor_that_was_killed() -> None:
    with supervisor() as (process, family, guard_pids):
        assert all(is_alive(pid) for pid in family)
        process.kill()
        asyncio.run(gone(*family, *guard_pids))


@pytest.mark.parametrize("order", [("guard0", "supervisor"), ("supervisor", "guard1")])
def test_nothing_is_left_of_a_supervisor_killed_with_a_guard(order: tuple[str, str]) -> None:
    with supervisor() as (process, family, guard_pids):
        pids = {"supervisor": process.pid, "guard0": guard_pids[0], "guard1": guard_pids[1]}
        for name in order:
            os.kill(pids[name], signal.SIGKILL)
        asyncio.run(gone(*family))


def test_a_dead_guard_is_told_of_and_replaced_by_one_that_knows_all_groups() -> None:
    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            await supervisor.start(shell("exec sleep 600"))
            first = supervisor.guard_pids
            for pid in first:
                os.kill(pid, signal.SIGKILL)

            async def replaced() -> bool:
                return len(supervisor.guard_pids) == 2 and not {*first} & {*supervisor.guard_pids}

            await within(5, replaced)
            assert lines.count("ended with SIGKILL; another one takes its place") == 2

    asyncio.run(scenario())


REPLACED = """
import asyncio, os, signal
from infra.local.supervisor.process import Program
from infra.local.supervisor.supervisor import Supervisor

async def main():
    async with Supervisor() as supervisor:
        script = "sleep 600 & echo grandchild $!; sleep 600"
        await supervisor.start(Program(name="parent", argv=["sh", "-c", script]))
        first = set(supervisor.guard_pids)
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        while len(supervisor.guard_pids) < 2 or first & set(supervisor.guard_pids):
            await asyncio.sleep(0.001)
        print("replaced", 1, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_guards_that_were_replaced_end_what_started_before_them() -> None:
    with python(REPLACED) as process:
        grandchild, _ = numbers(process, "grandchild", "replaced")
        process.kill()
        asyncio.run(gone(grandchild))


def test_a_child_dies_with_its_supervisor_even_if_no_guard_acts() -> None:
    with supervisor() as (process, family, guard_pids), held_still(*guard_pids):
        process.kill()
        asyncio.run(gone(family[0]))
        assert is_alive(family[1])
    asyncio.run(gone(*family))


def test_the_folder_of_a_killed_stack_is_free_only_once_its_processes_are_dead(
    tmp_path: Path,
) -> None:
    async def taken() -> None:
        async with lock(tmp_path):
            assert not any(is_alive(pid) for pid in family)

    with supervisor(tmp_path) as (process, family, guard_pids):
        with held_still(*guard_pids):
            process.kill()
            process.wait()
            with pytest.raises(CannotStart, match="already"), lock_at_once(tmp_path):
                pass
        asyncio.run(taken())


def test_the_folder_of_a_living_stack_is_refused_with_its_pid(tmp_path: Path) -> None:
    async def take() -> None:
        async with lock(tmp_path):
            pass

    with (
        supervisor(tmp_path) as (process, *_),
        pytest.raises(CannotStart, match=f"already \\(pid {process.pid}\\)"),
    ):
        asyncio.run(take())


def test_a_guard_leaves_only_when_what_it_killed_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["/bin/sleep", "600"], start_new_session=True) as dying:
        later = threading.Timer(0.1, dying.kill)
        monkeypatch.setattr(guard, "kill_group", lambda _: later.start())
        guard.kill_groups({dying.pid})
        assert not is_alive(dying.pid)


def test_a_supervisor_that_ends_waits_for_its_guards_without_blocking() -> None:
    async def scenario() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        async with Supervisor(log.silent) as supervisor:
            pids = supervisor.guard_pids
            ticks = 0
        assert not any(is_alive(pid) for pid in pids)
        ticking.cancel()
        return ticks

    assert asyncio.run(scenario()) > 10


class FullMachine:
    """Starts no process before `times` tries have failed."""

    def __init__(self, times: float) -> None:
        self.times = times
        self.tries = 0
        self.start = asyncio.create_subprocess_exec

    async def __call__(self, *arguments: str, **options: object) -> asyncio.subprocess.Process:
        self.tries += 1
        if self.tries <= self.times:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return await self.start(*arguments, **options)  # type: ignore[arg-type]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_processes, "back_off", lambda: itertools.repeat(0.0))


@pytest.mark.usefixtures("_at_once")
def test_guards_that_cannot_be_started_are_tried_again_and_leave_no_open_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = FullMachine(times=50)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", machine)

    async def scenario() -> int:
        before = open_files()
        async with Supervisor(log.silent):
            pass
        return open_files() - before

    assert asyncio.run(scenario()) < 10
    assert machine.tries > 50


@pytest.mark.usefixtures("_at_once")
def test_a_guard_goes_on_after_a_pipe_that_could_not_be_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make, full = os.pipe, iter([True, True])

    def pipe() -> tuple[int, int]:
        if next(full, False):
            raise OSError(errno.EMFILE, "Too many open files")
        return make()

    monkeypatch.setattr(os, "pipe", pipe)

    async def scenario() -> None:
        async with asyncio.timeout(10), Supervisor(log.silent) as supervisor:
            assert len(supervisor.guard_pids) == 2

    asyncio.run(scenario())


@pytest.mark.usefixtures("_at_once")
def test_a_stack_whose_guards_never_start_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_processes, "START_LIMIT", 0.05)
    monkeypatch.setattr(guard_processes, "back_off", lambda: itertools.repeat(0.01))
    monkeypatch.setattr(asyncio, "create_subprocess_exec", FullMachine(times=math.inf))

    async def scenario() -> None:
        async with Supervisor(log.silent):
            raise AssertionError

    with pytest.raises(CannotStart, match="guards of the stack did not start"):
        asyncio.run(scenario())


def test_guards_can_be_closed_before_they_were_opened() -> None:
    async def scenario() -> None:
        await guard_processes.GuardProcesses([], print).close()

    asyncio.run(scenario())
