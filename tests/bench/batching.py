"""How full batches are when many calls wait."""

import asyncio
import math
import os
import tempfile
from pathlib import Path

import numpy as np

from events.documents import Request
from functions.transcribe.whisper.batcher import BatchTotals
from functions.transcribe.whisper.decoding import Search
from functions.transcribe.whisper.models import Model
from functions.transcribe.whisper.recognizer import WhisperRecognizer, WhisperSetup
from tests.bench.figures import Figure, Part
from tests.bench.hours import SIDES, hour
from tests.bench.parrot import TINY, parrot
from tests.support.recognizers import recognized

CALLS = 16
BATCH = 16
SECONDS = 300.0
ACTIVITY = 0.385
TOKENS = 80
NOTE = (
    f"Batch fill: both channels of {CALLS} calls of {SECONDS / 60:.0f} minutes begun at once in "
    f"one recogniser, Whisper tiny's shape, greedy, {TOKENS} tokens per window, at most {BATCH} "
    "windows in a batch; windows decoded over what the batches had room for, the first and the "
    "last batch included."
)


def part() -> Part:
    """The share of the batches' places that were taken."""
    with tempfile.TemporaryDirectory() as folder:
        model = parrot(Path(folder) / "tiny", TINY, TOKENS)
        setup = WhisperSetup(threads=os.cpu_count() or 1, batch=BATCH, search=Search(beam=1))
        figures = asyncio.run(recognised(WhisperRecognizer(Model("tiny", model), setup)))
    return Part(
        [
            Figure(
                f"batch fill at B={BATCH} with {CALLS} calls queued",
                "≥ 0.90",
                f"{figures.full:.2f} ({figures.items} windows in {figures.batches} batches, "
                f"{math.ceil(figures.items / BATCH)} at least)",
            )
        ],
        NOTE,
    )


async def recognised(recognizer: WhisperRecognizer) -> BatchTotals:
    """Every channel of every call to its end; what the batches did."""
    calls = [hour(SECONDS, ACTIVITY, seed).samples for seed in range(CALLS)]
    sides = [np.ascontiguousarray(call[:, side]) for call in calls for side in range(len(SIDES))]
    await recognizer.warm()
    english = Request(language="en")
    await asyncio.gather(*(recognized(recognizer, side, request=english) for side in sides))
    figures = recognizer.totals
    await recognizer.close()
    assert figures is not None
    return figures
