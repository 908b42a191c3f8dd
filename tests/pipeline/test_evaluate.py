"""`pocwhisp evaluate` by real stacks: one that runs, and one of its own."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from infra.evaluation.truth import load_truth
from infra.local.state import running_stack
from tests.support.clips import first_turns
from tests.support.recognizers import NANO_CALL
from tests.support.stacks import POCWHISP, ROOT, RunningStack
from tests.support.waiting import eventually


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A folder with the nano call's first two turns and their truth."""
    folder = tmp_path / "calls"
    folder.mkdir()
    return first_turns(NANO_CALL, 2, folder / "short.wav").parent


def evaluate(folder: Path, data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*POCWHISP, "evaluate", str(folder), "--data", str(data), *options]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )


def said_in(folder: Path) -> int:
    truth = load_truth(folder / "short.truth.json")
    return sum(len(turn.text.split()) for turn in truth.turns)


def test_a_running_stack_is_evaluated_as_it_is(stack: RunningStack, calls: Path) -> None:
    done = evaluate(calls, stack.data)
    assert done.returncode == 0, done.stderr
    assert "short.wav: completed" in done.stderr
    assert "starting a stack" not in done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows if "left" in row] == ["short.wav", "total"]
    assert ["both", str(said_in(calls))] in [row[:2] for row in rows]
    assert "sphinx" in done.stdout


def test_nothing_is_left_of_an_evaluation_that_is_stopped(tmp_path: Path, calls: Path) -> None:
    data = tmp_path / "data"
    command = [*POCWHISP, "evaluate", str(calls), "--data", str(data)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: running_stack(data / "evaluate"), "its stack")
            process.send_signal(signal.SIGTERM)
            _, printed = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, "Traceback" in printed) == (143, False), printed
    assert [path.name for path in data.iterdir()] == ["evaluate.log"]
