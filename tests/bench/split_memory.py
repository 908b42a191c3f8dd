"""Split's memory and CPU against the length of the recording, each in a process of its own."""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from functions.split.decoder_av import ContainerDecoder
from functions.split.handler import split
from shared.audio.formats import Limits
from shared.blobs import ObjectBlobs
from tests.bench.tables import table
from tests.support.examples import fmt, received
from tests.support.stacks import ROOT

MIB = 1 << 20
RATE = 48_000
HEADINGS = ("recording", "audio", "peak above idle", "CPU", "CPU ÷ audio", "time")


@dataclass(frozen=True)
class Measured:
    """One recording through split. `above_idle` in MiB of resident memory, times in seconds."""

    mib: int
    audio: float
    above_idle: float
    cpu: float
    wall: float

    @property
    def row(self) -> tuple[str, ...]:
        return (
            f"{self.mib} MiB",
            f"{self.audio:.0f} s",
            f"{self.above_idle:.0f} MiB",
            f"{self.cpu:.1f} s",
            f"{self.cpu / self.audio:.5f}",
            f"{self.wall:.1f} s",
        )


def section() -> str:
    """The table for a quarter of a GiB and a whole one."""
    rows = [measured(mib).row for mib in (256, 1024)]
    return (
        "\n## Split: one long recording\n\n"
        f"Stereo WAV, 16-bit, {RATE // 1000} kHz, from a `file://` store and back into it.\n\n"
        f"{table(HEADINGS, rows)}"
    )


def measured(mib: int) -> Measured:
    """Split a recording of so many MiB in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        answer = subprocess.run(
            [sys.executable, "-m", "tests.bench.split_memory", folder, str(mib)],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
    return Measured(**json.loads(answer.stdout))


def silence(path: Path, mib: int) -> None:
    """A WAV of so many MiB that takes no room on the disk."""
    samples = mib * MIB - 44
    head = b"RIFF" + (samples + 36).to_bytes(4, "little") + b"WAVE" + fmt(2, RATE)
    path.parent.mkdir(parents=True)
    path.write_bytes(head + b"data" + samples.to_bytes(4, "little"))
    with path.open("r+b") as file:
        file.truncate(mib * MIB)


def here(folder: Path, mib: int) -> Measured:
    """The same in this process, which should be new."""
    call = received()
    silence(folder / call.audio, mib)
    blobs = ObjectBlobs.open(folder.as_uri())
    asyncio.run(blobs.check())
    idle, used, started = peak(), cpu(), time.perf_counter()
    limits = Limits(max_seconds=float("inf"))
    (event,) = asyncio.run(split(call, blobs=blobs, limits=limits, decoder=ContainerDecoder()))
    duration = event.model_dump()["duration"]
    return Measured(mib, duration, peak() - idle, cpu() - used, time.perf_counter() - started)


def peak() -> float:
    """Largest resident memory of this process so far, in MiB.

    `getrusage` would count what its parent had too.
    """
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def cpu() -> float:
    """CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    print(json.dumps(asdict(here(Path(sys.argv[1]), int(sys.argv[2])))))  # noqa: T201
