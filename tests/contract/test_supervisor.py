"""Processes of the stack are started, watched, restarted and ended; none is left behind."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.deployments import ROOT
from infra.local.errors import StartFailed
from infra.local.ports import free_ports
from infra.local.state import is_alive
from infra.local.supervisor import log
from infra.local.supervisor.guard import kill_group
from infra.local.supervisor.process import (
    LivenessProbe,
    Program,
    RunningProcess,
    probe_succeeds,
    spawn,
)
from infra.local.supervisor.supervisor import Supervisor
from infra.local.supervisor.waiting import back_off
from shared.tasks import together
from tests.support.processes import Lines, gone, shell, with_mark, within


def test_a_killed_process_is_started_again() -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            await supervisor.start(shell("exec sleep 600"))
            first = supervisor.pids["worker"]
            os.kill(first, signal.SIGKILL)
            await supervisor.ready("worker", after=first, deadline=5)
            assert not is_alive(first)
            assert is_alive(supervisor.pids["worker"])

    asyncio.run(scenario())


def test_a_process_that_keeps_dying_is_given_ever_more_time() -> None:
    delays = back_off()
    assert [next(delays) for _ in range(8)] == [0, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]


def test_a_process_that_was_ready_once_is_never_given_up(tmp_path: Path) -> None:
    once = tmp_path / "once"
    script = f"test -e {once} && exit 3; touch {once}; echo up; exec sleep 600"

    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            await supervisor.start(shell(script, ready=re.compile("up"), tries=1))
            first = supervisor.pids["worker"]
            os.kill(first, signal.SIGKILL)
            await lines.wait_for("exit code 3", times=2)
            once.unlink()
            await supervisor.ready("worker", after=first, deadline=5)

    asyncio.run(scenario())


def test_the_grandchildren_of_a_dead_process_die_too() -> None:
    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            await supervisor.start(shell("sleep 600 & echo grandchild $!; wait"))
            grandchild = await lines.number("grandchild")
            os.kill(supervisor.pids["worker"], signal.SIGKILL)
            await gone(grandchild)
            second = await lines.number("grandchild", than=grandchild)
        assert not is_alive(second)

    asyncio.run(scenario())


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            script = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"
            await supervisor.start(shell(script, grace=0.2, ready=re.compile("deaf")))
            pid = supervisor.pids["worker"]
        assert not is_alive(pid)
        assert lines[-1] == ("worker", "did not stop within 0.2 s; killed")

    asyncio.run(scenario())


def test_the_highest_layer_stops_first() -> None:
    async def scenario() -> list[str]:
        lines = Lines()
        bye = "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.02; done"
        async with Supervisor(lines) as supervisor:
            layers = (shell(bye, str(n), layer=n, ready=re.compile("up")) for n in range(3))
            await together(*(supervisor.start(layer) for layer in layers))
        return [name for name, line in lines if line == "bye"]

    assert asyncio.run(scenario()) == ["2", "1", "0"]


def test_a_process_that_dies_before_it_is_ready_is_named_with_its_last_words() -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            script = "echo no such model; exit 3"
            await supervisor.start(shell(script, ready=re.compile("never"), tries=2))

    with pytest.raises(StartFailed) as failed:
        asyncio.run(scenario())
    assert str(failed.value) == (
        "worker did not start: it ended with exit code 3 (2 times). Its last lines:\n"
        "  no such model"
    )


def test_a_process_that_dies_while_it_starts_is_started_again(tmp_path: Path) -> None:
    script = f"echo x >> {tmp_path}/lives; test $(wc -l < {tmp_path}/lives) = 3 || kill -9 $$"

    async def scenario() -> Lines:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            process = shell(f"{script}; echo up; exec sleep 600", ready=re.compile("up"))
            await supervisor.start(process)
        return lines

    assert asyncio.run(scenario()).count("ended with SIGKILL; starts again") == 2


def test_a_process_that_keeps_dying_rests_before_each_new_start() -> None:
    async def scenario() -> float:
        async with Supervisor(log.silent) as supervisor:
            began = time.monotonic()
            with pytest.raises(StartFailed):
                await supervisor.start(shell("exit 1", ready=re.compile("never"), tries=4))
            return time.monotonic() - began

    assert asyncio.run(scenario()) >= sum([0, 0.2, 0.4])


def test_a_process_is_given_up_after_five_deaths_before_it_was_ready() -> None:
    assert shell("").tries == 5


def test_a_process_that_is_never_ready_is_named_after_the_deadline() -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            process = shell("echo loading; exec sleep 600", ready=re.compile("loaded"))
            await supervisor.start(process, deadline=0.3)

    with pytest.raises(StartFailed, match=r"worker did not start: it was not ready after 0\.3 s"):
        asyncio.run(scenario())


def test_a_program_that_is_not_there_is_told_so() -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            await supervisor.start(Program(name="worker", argv=["/nowhere/worker"], tries=1))

    with pytest.raises(StartFailed, match=r"cannot run: .*No such file.*'/nowhere/worker'"):
        asyncio.run(scenario())


def test_the_first_failure_stops_all_that_were_starting() -> None:
    pids: list[int] = []

    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            await supervisor.start(shell("exec sleep 600", "early"))
            pids.append(supervisor.pids["early"])
            waiting = shell("exec sleep 600", "waiting", ready=re.compile("never"))
            broken = shell("exit 1", "broken", ready=re.compile("never"), tries=1)
            await together(supervisor.start(waiting), supervisor.start(broken))

    with pytest.raises(StartFailed, match="broken did not start"):
        asyncio.run(scenario())
    assert pids
    assert not any(is_alive(pid) for pid in pids)


def test_a_url_makes_a_process_ready_only_by_a_200(tmp_path: Path) -> None:
    page, port = tmp_path / "ready", free_ports(1)[0]

    async def scenario() -> None:
        server = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
        ready = f"http://127.0.0.1:{port}/ready"
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            process = Program(name="pages", argv=[*server, "-d", str(tmp_path)], ready=ready)
            starting = asyncio.create_task(supervisor.start(process))
            await lines.wait_for("404", seconds=10)
            assert not starting.done()
            page.touch()
            await starting

    asyncio.run(scenario())


def test_a_failing_log_stops_no_process() -> None:
    def full_disk(_name: str, _line: str) -> None:
        raise OSError(28, "No space left on device")

    async def scenario() -> None:
        async with Supervisor(full_disk) as supervisor:
            await supervisor.start(
                shell("seq 100000; echo ready; exec sleep 600", ready=re.compile("ready"))
            )

    asyncio.run(scenario())


def test_no_error_of_the_log_stops_a_process() -> None:
    def closed(_name: str, _line: str) -> None:
        raise ValueError("I/O operation on closed file.")

    async def scenario() -> None:
        async with Supervisor(closed) as supervisor:
            await supervisor.start(
                shell("seq 100000; echo ready; exec sleep 600", ready=re.compile("ready"))
            )

    asyncio.run(scenario())


def test_a_program_that_cannot_be_started_for_whatever_reason_is_tried_again() -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            await supervisor.start(shell("", account="nobody-of-this-name", tries=2))

    with pytest.raises(StartFailed, match=r"\(2 times\).*\n.*cannot run: .*nobody-of-this-name"):
        asyncio.run(scenario())


def test_a_process_whose_probe_has_a_defect_is_started_again() -> None:
    answers: Iterator[Exception | bool] = iter([LookupError("a defect")])

    async def probe() -> bool:
        answer = next(answers, True)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            await supervisor.start(shell("exec sleep 600", ready=probe))
        assert lines.count("cannot be watched: LookupError('a defect'); killed") == 1

    asyncio.run(scenario())


def test_an_answer_without_an_end_is_that_of_a_process_that_is_ill() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 200_000)
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = "http://{}:{}/".format(*server.sockets[0].getsockname())
            assert not await probe_succeeds(url)

    asyncio.run(scenario())


def test_a_line_of_any_length_is_passed_on_and_one_without_an_end_too() -> None:
    async def scenario() -> list[str]:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; printf last"
            await supervisor.start(shell(script, restart=False))
            await within(10, lambda: ended(supervisor))
        return [line for _, line in lines]

    written = asyncio.run(scenario())
    assert sum(len(line) for line in written[:-1]) == 3_000_000
    assert written[-1] == "last"


ANSWERS = """
import signal, socket, sys, time

def drain(*_):
    listener.close()
    time.sleep(0.5)
    print("done", flush=True)
    sys.exit()

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
signal.signal(signal.SIGTERM, drain)
print("up", flush=True)
while True:
    connection, _ = listener.accept()
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 503 Busy\\r\\n\\r\\n")
    connection.close()
    print("asked", flush=True)
"""
"""A server that answers until SIGTERM, closes its door then, and works on for half a second."""


def answering(**options: object) -> Program:
    """A process with `ANSWERS` that is asked often and may be silent for a short time."""
    port = free_ports(1)[0]
    liveness = LivenessProbe(probe=f"http://127.0.0.1:{port}/alive", period=0.02, timeout=0.1)
    return Program(
        name="worker",
        argv=[sys.executable, "-S", "-c", ANSWERS, str(port)],
        ready=re.compile("up"),
        liveness=liveness,
        **options,  # type: ignore[arg-type]
    )


def test_a_process_that_hangs_is_killed_and_started_again() -> None:
    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            await supervisor.start(answering())
            await lines.wait_for("asked", times=3)
            first = supervisor.pids["worker"]
            os.kill(first, signal.SIGSTOP)
            await supervisor.ready("worker", after=first, deadline=10)
            assert lines.count("does not answer; killed") == 1

    asyncio.run(scenario())


def test_a_process_that_drains_is_left_to_its_end() -> None:
    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            await supervisor.start(answering(restart=False))
            os.kill(supervisor.pids["worker"], signal.SIGTERM)
            await lines.wait_for("done")
            assert lines.count("killed") == 0

    asyncio.run(scenario())


def test_only_two_bad_answers_in_a_row_of_one_that_was_well_kill_it() -> None:
    answers = iter([False, False, True, False, True, False, False])

    async def probe() -> bool:
        return next(answers)

    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            liveness = LivenessProbe(probe=probe, period=0.001)
            await supervisor.start(shell("exec sleep 600", liveness=liveness))
            await lines.wait_for("killed")
            assert next(answers, None) is None

    asyncio.run(scenario())


def test_a_restarted_process_that_hangs_before_it_is_ready_is_killed(tmp_path: Path) -> None:
    """Its second life hangs with its door closed, as a recogniser does in a broken driver."""
    port, lives = free_ports(1)[0], tmp_path / "lives"
    script = (
        f"echo x >> {lives}; test $(wc -l < {lives}) = 2 && exec sleep 600;"
        f' exec {sys.executable} -S -c "$ANSWERS" {port}'
    )
    url = f"http://127.0.0.1:{port}/alive"
    liveness = LivenessProbe(probe=url, period=0.02, startup_limit=0.5)
    process = shell(script, env={"ANSWERS": ANSWERS}, ready=re.compile("up"), liveness=liveness)

    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            await supervisor.start(process)
            await lines.wait_for("asked")
            os.kill(supervisor.pids["worker"], signal.SIGKILL)
            await lines.wait_for("does not answer; killed")
            await lines.wait_for("up", times=2)

    asyncio.run(scenario())


def test_silence_before_the_first_answer_is_only_a_slow_start() -> None:
    silent = 5

    async def probe() -> bool:
        nonlocal silent
        silent -= 1
        if silent >= 0:
            raise TimeoutError
        return True

    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            liveness = LivenessProbe(probe=probe, period=0.001)
            process = shell("exec sleep 600", ready=re.compile("never"), liveness=liveness)
            starting = asyncio.create_task(supervisor.start(process))
            await within(5, lambda: asyncio.sleep(0, silent < -10))
            starting.cancel()
            assert lines.count("killed") == 0


def test_a_process_that_is_ready_and_then_silent_hangs_even_if_it_was_never_probed() -> None:
    async def probe() -> bool:
        raise TimeoutError

    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            liveness = LivenessProbe(probe=probe, period=0.001)
            await supervisor.start(shell("exec sleep 600", liveness=liveness))
            await lines.wait_for("does not answer; killed")

    asyncio.run(scenario())


def test_the_time_to_start_begins_when_what_a_process_needs_is_there() -> None:
    asked = False

    async def never() -> bool:
        nonlocal asked
        asked = True
        return False

    async def scenario() -> None:
        stores_up = asyncio.Event()
        async with Supervisor(log.silent) as supervisor:
            process = shell("exec sleep 600", ready=never)
            starting = asyncio.create_task(
                supervisor.start(process, after=stores_up, deadline=0.05)
            )
            await asyncio.wait({starting}, timeout=0.3)
            assert not starting.done()
            assert not asked
            stores_up.set()
            await starting

    with pytest.raises(StartFailed, match=r"it was not ready after 0\.05 s"):
        asyncio.run(scenario())
    assert asked


def test_a_process_that_dies_before_what_it_needs_is_there_is_named() -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            await supervisor.start(shell("exit 3", tries=1), after=asyncio.Event())

    with pytest.raises(StartFailed, match="it ended with exit code 3"):
        asyncio.run(scenario())


CANCELLED = """
import asyncio, re, sys
from infra.local.supervisor import guard_processes, log
from infra.local.supervisor.guard import kill_group
from infra.local.supervisor.process import RunningProcess, spawn
from infra.local.supervisor.process import Program
from infra.local.supervisor.supervisor import Supervisor
from shared.tasks import together

def shell(name, script, **options):
    return Program(name=name, argv=["sh", "-c", f"{script} # {sys.argv[1]}"], **options)

async def start():
    deaf = {"grace": 0.05, "ready": re.compile("up")}
    async with Supervisor(log.silent) as supervisor:
        async def database():
            await supervisor.run(shell("database", ":", restart=False))
            await supervisor.start(shell("database", "trap '' TERM; echo up; sleep 600", **deaf))
        function = "sleep 600 & echo up; wait"
        await together(
            database(), *(supervisor.start(shell(str(n), function, **deaf)) for n in range(3))
        )

async def steps(count):
    for _ in range(count):
        await asyncio.sleep(0)

async def main():
    for point in range(30):
        guard_processes.GUARDS = 2 if point % 5 == 0 else 0  # their starts are most of the time
        task = asyncio.create_task(start())
        await steps(int(1.3**point))
        task.cancel()
        await steps(point % 7)
        task.cancel()
        await asyncio.wait({task})
        task.exception() if not task.cancelled() else None
        print("points", point, flush=True)

asyncio.run(main(), debug=False)
"""


def test_a_start_that_is_cancelled_at_any_point_leaves_no_word_and_no_process() -> None:
    mark = f"cancelled-{os.getpid()}"
    argv = [sys.executable, "-X", "dev", "-c", CANCELLED, mark]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.endswith("points 29\n")
    assert with_mark(mark) == []


def test_a_spawn_that_is_cancelled_at_any_step_leaves_no_process() -> None:
    mark = f"spawned-{os.getpid()}"

    async def cancelled_after(steps: int) -> bool:
        spawning = asyncio.create_task(spawn(shell(f"sleep 600; : {mark}")))
        for _ in range(steps):
            await asyncio.sleep(0)
        spawning.cancel()
        [ended] = await asyncio.gather(spawning, return_exceptions=True)
        if isinstance(ended, RunningProcess):
            kill_group(ended.pid)
            await ended.ended()
            ended.pipe.close()
        return isinstance(ended, asyncio.CancelledError)

    async def scenario() -> int:
        steps = 0
        while await cancelled_after(steps):
            assert with_mark(mark) == []
            steps += 1
        return steps

    assert asyncio.run(scenario()) >= 3


def test_a_program_that_ends_by_itself_is_ended_by_a_cancelled_start() -> None:
    mark = f"ended-{os.getpid()}"

    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            process = shell(f"trap '' TERM; sleep 600; : {mark}", restart=False, grace=0.05)
            running = asyncio.create_task(supervisor.run(process))
            await within(5, lambda: runs(mark))
            running.cancel()
            await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait({running})
            assert with_mark(mark) == []

    asyncio.run(scenario())


async def runs(mark: str) -> bool:
    return len(with_mark(mark)) > 0


async def ended(supervisor: Supervisor) -> bool:
    return supervisor.pid_of("worker") is None
