import asyncio
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.deployments import ROOT
from infra.local.ports import claim, free_ports
from infra.local.state import StackInfo, is_alive, lock, running_stack, write_state
from infra.local.supervisor import log
from infra.local.supervisor.waiting import back_off, until
from infra.local.supervisor.supervisor import CannotStart, Process, StartFailed, Supervisor
from shared.tasks import together

SUPERVISOR_WITH_A_GRANDCHILD = """
import asyncio, sys
from pathlib import Path
from infra.local.supervisor.supervisor import Process, Supervisor
from infra.local.state import lock

async def main():
    with lock(Path(sys.argv[1])) as held:
        async with Supervisor(hold=[held]) as supervisor:
            script = "sleep 600 & echo grandchild $!; sleep 600"
            await supervisor.start(Process(name="parent", argv=["sh", "-c", script]))
            print("child", supervisor.pid_of("parent"), flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


class Heard(list[tuple[str, str]]):
    """A sink that keeps the lines."""

    def __call__(self, name: str, line: str) -> None:
        self.append((name, line))

    async def number(self, word: str, than: int = 0) -> int:
        """The number that follows a word, once one other than `than` was said."""
        found: list[int] = []

        async def said() -> bool:
            numbers = [int(line.split()[1]) for _, line in self if line.startswith(word)]
            found[:] = [number for number in numbers if number != than]
            return bool(found)

        await within(5, said)
        return found[-1]


async def within(seconds: float, holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(seconds):
        await until(holds, every=0.01)


async def gone(pid: int, seconds: float = 5) -> None:
    async def is_gone() -> bool:
        return not is_alive(pid)

    await within(seconds, is_gone)


def shell(script: str, name: str = "worker", **options: object) -> Process:
    return Process(name=name, argv=["sh", "-c", script], **options)  # type: ignore[arg-type]


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
        heard = Heard()
        async with Supervisor(heard) as supervisor:
            await supervisor.start(shell(script, ready=re.compile("up")))
            first = supervisor.pids["worker"]
            os.kill(first, signal.SIGKILL)

            async def died_twice_more() -> bool:
                return sum("exit code 3" in line for _, line in heard) >= 2

            await within(5, died_twice_more)
            once.unlink()
            await supervisor.ready("worker", after=first, deadline=5)

    asyncio.run(scenario())


def test_the_grandchildren_of_a_dead_process_die_too() -> None:
    async def scenario() -> None:
        heard = Heard()
        async with Supervisor(heard) as supervisor:
            await supervisor.start(shell("sleep 600 & echo grandchild $!; wait"))
            grandchild = await heard.number("grandchild")
            os.kill(supervisor.pids["worker"], signal.SIGKILL)
            await gone(grandchild)
            second = await heard.number("grandchild", than=grandchild)
        assert not is_alive(second)

    asyncio.run(scenario())


def test_nothing_is_left_of_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        with start_supervisor(tmp_path) as supervisor:
            pids = said_by(supervisor, {"child", "grandchild"})
            assert all(is_alive(pid) for pid in pids)
            supervisor.kill()
        for pid in pids:
            await gone(pid)

    asyncio.run(scenario())


def test_the_folder_of_a_killed_stack_is_free_only_once_its_processes_are_dead(
    tmp_path: Path,
) -> None:
    with start_supervisor(tmp_path) as supervisor:
        pids = said_by(supervisor, {"child", "grandchild"})
        with (
            pytest.raises(CannotStart, match=f"already \\(pid {supervisor.pid}\\)"),
            lock(tmp_path),
        ):
            pass
        supervisor.kill()
        supervisor.wait()
        with lock(tmp_path):
            assert not any(is_alive(pid) for pid in pids)


def start_supervisor(data: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", SUPERVISOR_WITH_A_GRANDCHILD, str(data)]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def said_by(supervisor: subprocess.Popen[str], words: set[str]) -> list[int]:
    assert supervisor.stdout is not None
    said: dict[str, int] = {}
    while set(said) != words:
        *_, word, number = supervisor.stdout.readline().split()
        said[word] = int(number)
    return list(said.values())


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    async def scenario() -> None:
        heard = Heard()
        async with Supervisor(heard) as supervisor:
            script = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"
            await supervisor.start(shell(script, grace=0.2, ready=re.compile("deaf")))
            pid = supervisor.pids["worker"]
        assert not is_alive(pid)
        assert heard[-1] == ("worker", "did not stop within 0.2 s; killed")

    asyncio.run(scenario())


def test_the_highest_layer_stops_first() -> None:
    async def scenario() -> list[str]:
        heard = Heard()
        bye = "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.02; done"
        async with Supervisor(heard) as supervisor:
            layers = (shell(bye, str(n), layer=n, ready=re.compile("up")) for n in range(3))
            await together(*(supervisor.start(layer) for layer in layers))
        return [name for name, line in heard if line == "bye"]

    assert asyncio.run(scenario()) == ["2", "1", "0"]


def test_a_process_that_dies_before_it_is_ready_is_named_with_its_last_words() -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            await supervisor.start(shell("echo no such model; exit 3", ready="http://127.0.0.1:9/"))

    with pytest.raises(StartFailed) as failed:
        asyncio.run(scenario())
    assert str(failed.value) == (
        "worker did not start: it ended with exit code 3. Its last lines:\n  no such model"
    )


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
            await supervisor.start(Process(name="worker", argv=["/nowhere/worker"]))

    with pytest.raises(StartFailed, match=r"cannot run: .*No such file.*'/nowhere/worker'"):
        asyncio.run(scenario())


def test_the_first_failure_stops_all_that_were_starting() -> None:
    pids: list[int] = []

    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            await supervisor.start(shell("exec sleep 600", "early"))
            pids.append(supervisor.pids["early"])
            waiting = shell("exec sleep 600", "waiting", ready=re.compile("never"))
            broken = shell("exit 1", "broken", ready=re.compile("never"))
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
        heard = Heard()
        async with Supervisor(heard) as supervisor:
            process = Process(name="pages", argv=[*server, "-d", str(tmp_path)], ready=ready)
            starting = asyncio.create_task(supervisor.start(process))

            async def refused() -> bool:
                return any("404" in line for _, line in heard)

            await within(10, refused)
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


def test_a_line_of_any_length_is_passed_on_and_one_without_an_end_too() -> None:
    async def scenario() -> list[str]:
        heard = Heard()
        async with Supervisor(heard) as supervisor:
            script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; printf last"
            await supervisor.start(shell(script, restart=False))
            await within(10, lambda: ended(supervisor))
        return [line for _, line in heard]

    lines = asyncio.run(scenario())
    assert sum(len(line) for line in lines[:-1]) == 3_000_000
    assert lines[-1] == "last"


async def ended(supervisor: Supervisor) -> bool:
    return supervisor.pid_of("worker") is None


def test_every_line_carries_the_name_of_its_process_in_one_column() -> None:
    stream = io.StringIO()
    write = log.console(stream)
    write("merge", "hello")
    write("transcribe", "hello")
    assert stream.getvalue() == "merge      | hello\ntranscribe | hello\n"


def test_names_are_coloured_on_a_terminal_alone() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    log.console(stream)("merge", "hello")
    assert re.fullmatch(r"\x1b\[\d+mmerge +\|\x1b\[0m hello\n", stream.getvalue())


def test_the_log_can_go_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "stack.log"
    with log.log_file(path) as write:
        write("merge", "hello")
    assert path.read_text() == "merge      | hello\n"


def test_a_port_in_use_is_told_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"Port {port} is in use by .*{os.getpid()}.*--port"):
            claim(port)


def test_free_ports_are_never_given_twice() -> None:
    ports = [port for _ in range(50) for port in free_ports(8)]
    assert len(set(ports)) == len(ports)


def test_a_stack_is_found_only_while_its_process_lives(tmp_path: Path) -> None:
    def page(pid: int, started_at: datetime) -> StackInfo:
        return StackInfo(
            pid=pid,
            url="http://127.0.0.1:8080",
            started_at=started_at,
            nats_url="nats://127.0.0.1:4222",
            processes={"merge": 7},
        )

    assert running_stack(tmp_path) is None
    alive = page(os.getpid(), datetime.now(UTC))
    write_state(tmp_path, alive)
    assert running_stack(tmp_path) == alive
    write_state(tmp_path, page(os.getpid(), datetime(2020, 1, 1, tzinfo=UTC)))
    assert running_stack(tmp_path) is None, "its pid was given to another process since"
    (tmp_path / "stack.json").write_text("{")
    assert running_stack(tmp_path) is None
