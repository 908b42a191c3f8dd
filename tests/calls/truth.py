"""What was really said in a sample call, and when."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

Speaker = Literal["left", "right"]


class Turn(BaseModel, frozen=True):
    """What one speaker says until the other begins; times in seconds from the call's start."""

    speaker: Speaker
    start_time: float
    end_time: float
    text: str


class Truth(BaseModel, frozen=True):
    """A call's turns in the order in which they begin; duration in seconds."""

    duration: float
    turns: tuple[Turn, ...]


def load_truth(path: Path) -> Truth:
    """Read the truth file that lies beside a sample call."""
    return Truth.model_validate_json(path.read_bytes())


def reference_text(truth: Truth, speaker: Speaker) -> str:
    """All that one speaker says, as written in the script, turns joined by a space."""
    return " ".join(turn.text for turn in truth.turns if turn.speaker == speaker)
