"""A call recognised by faster-whisper's own two ways, called directly: what ours is held against.

Same model, same threads, same channels; voice activity detection on, all else as they come.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel
from numpy.typing import NDArray

from infra.evaluation.word_errors import ApiSegment
from tests.support.recognizers import channel

SIDES = ("left", "right")
FULL_SCALE = np.float32(2**-15)


@dataclass(frozen=True)
class Direct:
    """Segments of both channels, by each way of calling."""

    sequential: list[ApiSegment]
    batched: list[ApiSegment]


def recognised(call: Path, model: Path, threads: int) -> Direct:
    """Both channels of a 16 kHz call by both ways, int8 on the CPU."""
    whisper = WhisperModel(
        str(model), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
    )
    batched = BatchedInferencePipeline(whisper)
    sides = [channel(call, n).astype(np.float32) * FULL_SCALE for n in range(len(SIDES))]
    return Direct(
        sequential=list(_told(whisper, sides)),
        batched=list(_told(batched, sides)),
    )


def _told(
    engine: WhisperModel | BatchedInferencePipeline,
    sides: list[NDArray[np.float32]],
) -> Iterator[ApiSegment]:
    for speaker, samples in zip(SIDES, sides, strict=True):
        for heard in engine.transcribe(samples, vad_filter=True)[0]:
            yield ApiSegment(
                speaker=speaker, start_time=heard.start, end_time=heard.end, text=heard.text
            )
