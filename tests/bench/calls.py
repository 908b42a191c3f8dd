"""The sample call and the unseen one through the whole stack: words, turns, time, CPU."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.evaluation.truth import load_truth
from infra.evaluation.word_errors import turn_order_errors, word_error_rate
from tests.bench.tables import table
from tests.support.stacks import POCWHISP, ROOT, Body, RunningStack, running

CALLS = ROOT / "tests" / "calls"


@dataclass(frozen=True)
class Measured:
    """One call's figures. Times in seconds."""

    name: str
    error_rate: float
    left: float
    right: float
    order_errors: int
    duration: float
    processing: float
    cpu_outside: float

    @property
    def row(self) -> tuple[str, ...]:
        return (
            self.name,
            f"{self.error_rate:.1%}",
            f"{self.left:.1%}",
            f"{self.right:.1%}",
            str(self.order_errors),
            f"{self.duration:.1f} s",
            f"{self.processing:.1f} s",
            f"{self.processing / self.duration:.2f}",
            f"{self.cpu_outside:.2f} s",
        )


HEADINGS = (
    "call", "WER", "left", "right", "turn errors", "duration",
    "upload end to result", "÷ duration", "CPU outside the recogniser",
)  # fmt: skip


def section() -> str:
    """The table for both calls, and how long `make demo` takes."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as stack:
        engine = warm_up(stack)
        rows = [measure(stack, name).row for name in ("support", "unseen")]
    return (
        f"\n## The sample calls, {engine}\n\n{table(HEADINGS, rows)}\n"
        "The script of `unseen` was not recognised before either; nothing was tuned on the two.\n"
        f"\n`make demo` on a prepared machine: {demo_seconds():.0f} s in all.\n"
    )


def warm_up(stack: RunningStack) -> str:
    """Send one call before anything is timed; the engine that recognised it."""
    body = stack.post(wait="90").json()
    return str(body["metadata"]["model_versions"]["recognizer"])


def measure(stack: RunningStack, name: str) -> Measured:
    """Send one call and compare what comes back with its script."""
    truth = load_truth(CALLS / f"{name}.truth.json")
    before = cpu_outside_the_recogniser(stack)
    body: Body = stack.post(CALLS / f"{name}.wav", wait="90").json()
    after = cpu_outside_the_recogniser(stack)
    segments = body["transcript"]["segments"]
    return Measured(
        name,
        word_error_rate(truth, segments),
        word_error_rate(truth, segments, "left"),
        word_error_rate(truth, segments, "right"),
        len(turn_order_errors(truth, segments)),
        body["metadata"]["duration"],
        body["metadata"]["processing_time"],
        after - before,
    )


def cpu_outside_the_recogniser(stack: RunningStack) -> float:
    """CPU seconds of every process of the stack, without transcribe's recogniser children."""
    total = 0.0
    for name, pid in stack.info.processes.items():
        process = psutil.Process(pid)
        tree = [] if name.startswith("transcribe") else process.children(recursive=True)
        for one in (process, *tree):
            used = one.cpu_times()
            total += used.user + used.system
    return total


def demo_seconds() -> float:
    """Wall time of `pocwhisp demo`, what `make demo` runs once everything is installed."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(
            [*POCWHISP, "demo", "--data", folder], cwd=ROOT, check=True, stdout=sys.stderr
        )
        return time.perf_counter() - started
