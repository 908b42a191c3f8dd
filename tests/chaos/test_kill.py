"""kill -9 of every function while a call is in it; the transcript is the same."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.bench.composed import composed, written
from tests.support.recognizers import NANO_CALL
from tests.support.stacks import Body, RunningStack, completed, stopped
from tests.support.waiting import eventually

PIPELINE = ("split", "transcribe", "merge", "summarize", "persist")


def said(body: Body) -> list[Body]:
    segments: list[Body] = body["transcript"]["segments"]
    return segments


def has_a_delivery_open(pid: int) -> bool:
    """Whether somebody has sent the stopped process bytes that it has not read."""
    ports = {c.laddr.port for c in psutil.Process(pid).net_connections() if c.status == "LISTEN"}
    waiting = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(
        int(fields[1].split(":")[1], 16) in ports
        and fields[3] == "01"
        and int(fields[4].split(":")[1], 16) > 0
        for fields in waiting
    )


def kill_with_the_call_in_hand(stack: RunningStack, name: str, pid: int) -> None:
    """Kill a process that was stopped beforehand, once an event was delivered to it."""
    eventually(lambda: has_a_delivery_open(pid), f"a delivery to {name}")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: stack.info.processes.get(name) not in {None, pid}, f"a new {name}")


def test_every_function_may_be_killed_once_while_the_call_is_in_it(
    own_stack: RunningStack, nano_call: Body
) -> None:
    with stopped(own_stack, *PIPELINE) as pids:
        session_id = own_stack.post(NANO_CALL, wait="0").json()["session_id"]
        for name, pid in pids.items():
            kill_with_the_call_in_hand(own_stack, name, pid)
    assert said(own_stack.ended(session_id)) == said(nano_call)


def test_transcribe_may_be_killed_in_the_middle_of_its_work(
    own_stack: RunningStack, tmp_path: Path
) -> None:
    longer = written(tmp_path / "longer.wav", composed(180.0, 1)[0])
    undisturbed = completed(own_stack.post(longer, wait="90"))
    pid = own_stack.pid("transcribe")
    before = cpu_seconds(pid)
    session_id = own_stack.post(longer, wait="0").json()["session_id"]
    eventually(lambda: cpu_seconds(pid) > before + 0.5, "half a second of recognition")
    os.kill(pid, signal.SIGKILL)
    assert said(own_stack.ended(session_id)) == said(undisturbed)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its living children."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(used.user + used.system for used in times)


def test_ingest_may_be_killed_while_a_client_waits(
    own_stack: RunningStack, nano_call: Body
) -> None:
    known = set(own_stack.recordings())
    pid = own_stack.pid("ingest")

    def kill_when_promised() -> str:
        news = eventually(lambda: set(own_stack.recordings()) - known, "the recording on record")
        os.kill(pid, signal.SIGKILL)
        return news.pop()

    with ThreadPoolExecutor(1) as killer:
        promised = killer.submit(kill_when_promised)
        with pytest.raises(httpx.TransportError):
            own_stack.post(NANO_CALL, wait="60")
    eventually(lambda: own_stack.info.processes.get("ingest") not in {None, pid}, "a new ingest")
    eventually(lambda: is_up(own_stack), "ingest to answer")
    assert said(own_stack.ended(promised.result())) == said(nano_call)


def is_up(stack: RunningStack) -> bool:
    """Whether ingest answers."""
    with suppress(httpx.TransportError):
        return stack.http.get("/api/v1/live").is_success
    return False
