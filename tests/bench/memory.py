"""Transcribe's memory against the length of the call, each in a process of its own."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from events.documents import ChannelTranscript
from events.keys import RecordingKey
from functions.transcribe.handler import transcribe
from functions.transcribe.whisper.models import find_model
from functions.transcribe.whisper.recognizer import WhisperRecognizer, WhisperSetup
from infra.deployments import FEW_ARENAS
from shared.audio.pcm import SAMPLE_RATE, pcm16_header
from shared.blobs import ObjectBlobs
from tests.bench.composed import composed
from tests.bench.figures import Figure, Part
from tests.bench.split_memory import peak
from tests.support.examples import BOTH, RECORDING, was_split
from tests.support.recognizers import NANO
from tests.support.stacks import ROOT

LENGTHS = (1 / 6, 1.0, 3.0, 10.0)
"""Hours of the calls."""
PIECE = 600.0
"""Seconds that are made at a time."""
BATCH = 2
NOTE = (
    "Memory: transcribe's handler with nano in a process of its own, both channels at the same "
    "time from a `file://` store, calls of nano's sentences at 39 % activity per side; the peak of "
    "the resident memory, and the slope from the shortest call to the longest. At most "
    f"{BATCH} windows in a batch: how many meet in larger ones is chance, and moves the peak more "
    "than hours do."
)


@dataclass(frozen=True)
class Measured:
    """One call: hours, peak in MiB, what the process took before it began, and words heard."""

    hours: float
    peak: float
    idle: float
    words: int


def part() -> Part:
    """The slope over all lengths."""
    measured = [apart(hours) for hours in LENGTHS]
    first, last = measured[0], measured[-1]
    slope = (last.peak - first.peak) / (last.hours - first.hours)
    peaks = ", ".join(f"{one.peak:.0f} MiB at {length(one.hours)}" for one in measured)
    return Part(
        [
            Figure(
                f"peak memory of transcribe, {length(first.hours)} to {length(last.hours)}",
                "≤ 8 MiB per hour",
                f"{slope:.1f} MiB per hour ({peaks}; {first.idle:.0f} MiB before)",
            )
        ],
        NOTE,
    )


def length(hours: float) -> str:
    return f"{hours:.0f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def apart(hours: float) -> Measured:
    """Transcribe a call of so many hours in a new process."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        write_channels(Path(folder), hours)
        answer = subprocess.run(
            [sys.executable, "-m", "tests.bench.memory", folder, str(hours)],
            cwd=ROOT,
            env=os.environ | FEW_ARENAS,
            check=True,
            stdout=subprocess.PIPE,
        )
    return Measured(**json.loads(answer.stdout))


def write_channels(folder: Path, hours: float) -> None:
    """Both channels as split leaves them, a piece at a time."""
    pieces = round(hours * 3_600 / PIECE)
    keys = [RecordingKey("default", RECORDING).run(1).audio(channel) for channel in BOTH]
    for key in keys:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(pcm16_header(round(pieces * PIECE) * SAMPLE_RATE, SAMPLE_RATE))
    for seed in range(pieces):
        samples, _ = composed(PIECE, seed)
        for side, key in enumerate(keys):
            with (folder / key).open("ab") as file:
                file.write(np.ascontiguousarray(samples[:, side]).tobytes())


async def here(folder: Path, hours: float) -> Measured:
    """The same in this process, which should be new."""
    blobs = ObjectBlobs.open(folder.as_uri())
    recognizer = WhisperRecognizer(
        find_model(str(NANO), Path("/nowhere")), WhisperSetup(threads=1, batch=BATCH)
    )
    await recognizer.warm()
    idle = peak()
    events = await transcribe(
        was_split(), blobs=blobs, recognizer=recognizer, serves=BOTH, degraded=()
    )
    highest = peak()
    await recognizer.close()
    texts = [
        await blobs.get_json(event.model_dump()["transcript"], ChannelTranscript)
        for event in events
    ]
    words = sum(len(one.text.split()) for text in texts if text for one in text.segments)
    return Measured(hours, highest, idle, words)


if __name__ == "__main__":
    made = asyncio.run(here(Path(sys.argv[1]), float(sys.argv[2])))
    print(json.dumps(asdict(made)))  # noqa: T201
