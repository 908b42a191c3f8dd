"""What a whole process writes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def logged_by(program: str) -> list[dict[str, Any]]:
    """The lines that a process writes, on either stream, as the JSON objects that they must be."""
    code = f"from shared.telemetry import configure_logging\nconfigure_logging()\n{program}"
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=30,
    )
    return [json.loads(line) for line in process.stdout.splitlines()]


def test_every_line_of_a_process_is_a_json_object() -> None:
    lines = logged_by(
        "import logging, threading, warnings, structlog\n"
        "structlog.get_logger().info('ours', recording=1)\n"
        "logging.getLogger('psycopg.pool').warning('error in %r:\\n two lines', 'pool-1')\n"
        "logging.getLogger('psycopg.pool').info('chatter')\n"
        "warnings.warn('old')\n"
        "thread = threading.Thread(target=lambda: 1 / 0)\n"
        "thread.start(); thread.join()\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: logging.getLogger('nats').exception('read')\n"
        "raise SystemError('gone')\n"
    )
    ours, pool, warned, threaded, read, uncaught = lines
    assert (ours["event"], ours["recording"]) == ("ours", 1)
    assert (pool["event"], pool["logger"]) == ("error in 'pool-1':\n two lines", "psycopg.pool")
    assert "UserWarning: old" in warned["event"]
    assert "ZeroDivisionError" in threaded["exception"]
    assert (read["event"], read["level"]) == ("read", "error")
    assert "ZeroDivisionError" in read["exception"]
    assert (uncaught["event"], uncaught["level"]) == ("uncaught", "critical")
    assert "SystemError: gone" in uncaught["exception"]
    assert all(line["timestamp"] for line in lines)


def test_what_asyncio_reports_is_a_json_object_too() -> None:
    (line,) = logged_by(
        "import asyncio\n"
        "async def fail(): raise ValueError('nobody waits')\n"
        "async def main():\n"
        "    task = asyncio.create_task(fail()); await asyncio.sleep(0); await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
    )
    assert line["logger"] == "asyncio"
    assert "nobody waits" in line["exception"]


def test_a_decoding_process_that_crashes_writes_one_json_object() -> None:
    child = ROOT / "functions" / "split" / "decoder_child.py"
    command = [sys.executable, "-I", "-B", str(child), "no task"]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=30)
    line = json.loads(ran.stderr)
    assert (ran.returncode, ran.stdout, line["event"]) == (1, b"", "decoding_crashed")
    assert "JSONDecodeError" in line["exception"]


@pytest.mark.parametrize("name", ["CONCURRENCY", "BLOBS_RESERVE_BYTES"])
def test_a_setting_that_does_not_fit_is_one_json_object(name: str) -> None:
    command = [sys.executable, "-m", "functions.merge.main"]
    env = {name: "several"}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False, timeout=60)
    line = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr, line["event"]) == (1, b"", "cannot_start")
    assert line["reason"].startswith(f"{name.lower()}: Input should be a valid integer")
