"""Evaluates exported models on the test sets through unmodified faster-whisper."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from infra.training.data.mel import RATE
from infra.training.data.recordings import channels_of
from infra.training.exam.held_out_sets import Recording
from infra.training.exam.scores import HEADINGS, Score

Engine: TypeAlias = Any
"""A `WhisperModel` or its pipeline."""
MODES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "VAD, word times": {"vad_filter": True, "word_timestamps": True},
    "batched": {"batch_size": 8},
}


def table(models: Sequence[Path], sets: Mapping[str, Sequence[Recording]]) -> Iterator[str]:
    """The lines of a Markdown table: every set in every mode by every model."""
    for line in (("set", "mode", "model", *HEADINGS), ("---",) * (3 + len(HEADINGS))):
        yield _row(line)
    engines = {folder.name: _engines(folder) for folder in models}
    for name, recordings in sets.items():
        for mode, options in MODES.items():
            for model, engine in engines.items():
                score = scored(engine[mode], options, recordings)
                yield _row((name, mode, model, *score.cells()))


def scored(engine: Engine, options: Mapping[str, Any], recordings: Sequence[Recording]) -> Score:
    """Return an engine's score on the recordings, summed over their channels."""
    score = Score()
    for recording in recordings:
        channels = channels_of(recording.path)
        for audio, said in zip(channels, recording.channels, strict=True):
            began = time.perf_counter()
            heard = list(engine.transcribe(audio, language="en", **options)[0])
            score.clock += time.perf_counter() - began
            score.audio += len(audio) / RATE
            score.add(said, heard)
    return score


def _engines(folder: Path) -> dict[str, Engine]:
    from faster_whisper import BatchedInferencePipeline, WhisperModel  # noqa: PLC0415 - seconds

    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
    batched = BatchedInferencePipeline(model=model)
    return {mode: batched if mode == "batched" else model for mode in MODES}


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
