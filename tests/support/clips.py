"""The beginnings of recordings, for tests that need some speech and no more."""

import wave
from pathlib import Path

from infra.evaluation.truth import load_truth


def clip(recording: Path, seconds: float, to: Path) -> Path:
    """Write the first seconds of a recording to another file."""
    with wave.open(str(recording)) as whole, wave.open(str(to), "wb") as short:
        short.setparams(whole.getparams())
        short.writeframes(whole.readframes(round(seconds * whole.getframerate())))
    return to


def first_turns(recording: Path, count: int, to: Path) -> Path:
    """Write the first turns of a recording, and beside them their truth."""
    truth = load_truth(recording.with_suffix(".truth.json"))
    end = (truth.turns[count - 1].end_time + truth.turns[count].start_time) / 2
    cut = truth.model_copy(update={"duration": end, "turns": truth.turns[:count]})
    to.with_suffix(".truth.json").write_text(cut.model_dump_json())
    return clip(recording, end, to)
