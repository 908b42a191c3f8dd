"""A function's process: how it stops, what it shows, what it logs."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.served import ServedFunction, served
from tests.support.waiting import eventually

PROMTOOL = shutil.which("promtool")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[ServedFunction]:
    with served(tmp_path) as function:
        yield function


def test_a_function_that_drains_is_alive_and_ends_its_delivery(running: ServedFunction) -> None:
    with ThreadPoolExecutor() as pool:
        delivering = pool.submit(running.deliver)
        running.wait_for("begun")
        running.terminate()
        eventually(lambda: running.get("/ready").status_code == 503, "status 503")
        assert running.get("/alive").status_code == 200
        refused = running.deliver()
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        assert int(refused.headers["retry-after"]) > 0
        assert running.get("/alive").status_code == 200
        running.make("go-on")
        assert delivering.result().status_code == 204
    assert running.ended() == 0
    assert (len(running.said("delivered")), len(running.said("closed"))) == (1, 1)


def test_a_function_without_work_ends_at_once(running: ServedFunction) -> None:
    assert running.get("/ready").status_code == 200
    began = time.monotonic()
    running.terminate()
    assert running.ended() == 0
    assert time.monotonic() - began < 10, "its grace is 570 s"
    assert running.said("closed")


def test_work_that_outlasts_the_grace_is_cut_off(tmp_path: Path) -> None:
    with served(tmp_path, GRACE="0") as function, ThreadPoolExecutor() as pool:
        delivering = pool.submit(function.deliver)
        function.wait_for("begun")
        function.terminate()
        assert function.ended() == 0
        assert delivering.result().status_code == 503
        (line,) = function.said("retried")
        assert line["reason"] == "cut off"
        assert function.said("closed")


def test_a_connection_too_many_is_told_so(tmp_path: Path) -> None:
    with served(tmp_path, MAX_CONNECTIONS="3") as function:
        idle = [function.connect() for _ in range(3)]
        eventually(lambda: function.get("/alive").status_code == 503, "status 503")
        for connection in idle:
            connection.close()
        eventually(lambda: function.get("/alive").status_code == 200, "status 200")


def test_an_unexpected_error_is_logged_once(running: ServedFunction) -> None:
    running.make("broken")
    answer = running.get("/ready")
    assert (answer.status_code, answer.json()["error"]) == (500, "server_error")
    (line,) = running.lines
    assert (line["event"], line["path"]) == ("crashed", "/ready")
    assert line["exception"].count("Traceback") == 1


def test_a_probe_tells_what_is_away_and_the_log_why(running: ServedFunction) -> None:
    running.make("away")
    for _ in range(3):
        answer = running.get("/ready")
        assert answer.status_code == 503
        assert answer.json() == {"error": "unavailable", "message": "The broker is unavailable."}
    (line,) = running.lines
    assert (line["event"], line["reason"]) == ("not_ready", "nats://user:secret@host is away")


def test_ports_that_do_not_fit_are_told_at_the_first_probe(tmp_path: Path) -> None:
    with served(tmp_path, PORT_NAME="foldr") as function:
        assert function.get("/ready").status_code == 500
        crashed = function.said("crashed")[0]["exception"]
        assert "missing ports ['folder'], unknown ports ['foldr']" in crashed


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool: apt-get install prometheus")
def test_promtool_finds_nothing_wrong_with_the_metrics(running: ServedFunction) -> None:
    running.make("go-on")
    assert running.deliver().status_code == 204
    metrics = running.get("/metrics").content
    command = [PROMTOOL or "promtool", "check", "metrics"]
    checked = subprocess.run(command, input=metrics, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    assert b"_created" not in metrics
