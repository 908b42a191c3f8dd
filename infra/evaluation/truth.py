"""The truth of a call: the words really spoken in it, from the JSON file beside its recording."""

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from events.base import Channel

NEEDED = (
    "needed: duration and turns, each with speaker (left or right), start_time, end_time and text"
)
LONGEST_QUOTE = 40
ENDING = ".truth.json"


class BrokenTruth(ValueError):
    """A file that is no truth. The message says what was found where, and what is needed."""


class Turn(BaseModel, frozen=True, allow_inf_nan=False):
    """What one speaker says until the other takes over; times in seconds from the call's start."""

    speaker: Channel
    start_time: float = Field(ge=0)
    end_time: float = Field(ge=0)
    text: str


class Truth(BaseModel, frozen=True, allow_inf_nan=False):
    """A call's turns in the order in which they begin; duration in seconds."""

    duration: float = Field(gt=0)
    turns: tuple[Turn, ...]

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        begun = 0.0
        for number, turn in enumerate(self.turns):
            if turn.end_time < turn.start_time:
                raise ValueError(f"turns.{number} ends before it begins")
            if turn.start_time < begun:
                raise ValueError(f"turns.{number} begins before the turn above it")
            begun = turn.start_time
        return self


def load_truth(path: Path) -> Truth:
    """Read a truth file. Raise `BrokenTruth`, or `OSError` if it cannot be read."""
    try:
        return Truth.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BrokenTruth(f"{path}: {_describe_error(error.errors()[0])}; {NEEDED}.") from error


def truth_file(recording: Path) -> Path:
    """Return the path of a recording's truth: `NAME.truth.json`, or the older `NAME.json`.

    A `NAME.json` that is a result of PocWhisp is no truth. Returns the path of `NAME.truth.json`
    if there is neither file.
    """
    named, older = recording.with_suffix(ENDING), recording.with_suffix(".json")
    return older if not named.exists() and may_be_truth(older) else named


def may_be_truth(path: Path) -> bool:
    """Whether the file exists and is no result of PocWhisp."""
    try:
        return "session_id" not in json.loads(path.read_bytes())
    except OSError:
        return False
    except (ValueError, TypeError, RecursionError):
        return True


def reference_text(truth: Truth, speaker: Channel) -> str:
    """Return the text of all turns of one speaker, joined by spaces."""
    return " ".join(turn.text for turn in truth.turns if turn.speaker == speaker)


def _describe_error(error: ErrorDetails) -> str:
    """Return the place, what is wrong there, and the value that was found if it is short."""
    where = ".".join(map(str, error["loc"]))
    message = error["msg"].removeprefix("Value error, ")
    value = error["input"]
    simple = isinstance(value, str | int | float) and error["type"] != "json_invalid"
    quote = f", found {str(value)[:LONGEST_QUOTE]!r}" if simple else ""
    return f"{where}: {message}{quote}" if where else message
