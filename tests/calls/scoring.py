"""How near a transcript comes to what was really said: its words, and its order of turns."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypedDict, get_args

import jiwer

from tests.calls.truth import Speaker, Truth, Turn, reference_text

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


class Segment(TypedDict):
    """A segment as the HTTP API gives it (it may hold more); times in seconds."""

    speaker: str
    start_time: float
    end_time: float
    text: str


def normalised(text: str) -> str:
    """Return the words in lower case, one space apart, without punctuation.

    Contractions stay as they are (``don't`` is one word, and not ``do not``), a curly
    apostrophe counts as a straight one, a hyphen parts two words, numbers stay as written.
    """
    return " ".join(WORD.findall(text.lower().replace("’", "'")))  # noqa: RUF001


def recognised_text(segments: Sequence[Segment], speaker: Speaker) -> str:
    """All that was heard of one speaker, in order of time, joined by a space."""
    heard = sorted(
        (segment for segment in segments if segment["speaker"] == speaker),
        key=lambda segment: segment["start_time"],
    )
    return " ".join(segment["text"] for segment in heard)


def word_error_rate(
    truth: Truth, segments: Sequence[Segment], speaker: Speaker | None = None
) -> float:
    """Word errors (substituted, deleted, inserted) per word truly said, after `normalised`.

    Of one speaker's channel, or of both: the errors of both over the words of both, each
    channel aligned by itself, so that a word on the wrong channel is two errors.
    0.0 is perfect; insertions can take it above 1.0.
    """
    speakers: tuple[Speaker, ...] = (speaker,) if speaker else get_args(Speaker)
    said = [normalised(reference_text(truth, one)) for one in speakers]
    heard = [normalised(recognised_text(segments, one)) for one in speakers]
    return float(jiwer.wer(said, heard))


def turn_order_errors(truth: Truth, segments: Sequence[Segment]) -> list[str]:
    """Say where the segments, in the order given, do not tell the call's turns in true order.

    No errors means: every turn is met in time by a segment of its speaker; every segment
    meets a turn of its speaker, and no two with the other party's turn in between; segments
    are ordered by start, and so are the turns they belong to. A turn may be told in several
    segments, and where two turns overlap theirs may alternate.
    """
    return [
        *_untold(truth, segments),
        *_stray(truth, segments),
        *_straddling(truth, segments),
        *_misplaced(truth, segments),
    ]


def _untold(truth: Truth, segments: Sequence[Segment]) -> Iterator[str]:
    for turn in truth.turns:
        if not any(_meets(segment, turn) for segment in segments):
            yield f"no {turn.speaker} segment covers {_named(turn)}"


def _stray(truth: Truth, segments: Sequence[Segment]) -> Iterator[str]:
    for segment in segments:
        if not _turns_met(truth, segment):
            yield f"no {segment['speaker']} turn is under {_shown(segment)}"


def _straddling(truth: Truth, segments: Sequence[Segment]) -> Iterator[str]:
    for segment in segments:
        met = _turns_met(truth, segment)
        between = truth.turns[met[0] : met[-1]] if met else ()
        for turn in between:
            if turn.speaker != segment["speaker"]:
                yield f"{_shown(segment)} spans {_named(turn)}"


def _misplaced(truth: Truth, segments: Sequence[Segment]) -> Iterator[str]:
    told = [segment for segment in segments if _turns_met(truth, segment)]
    order = [_turn_of(truth, segment) for segment in told]
    for place, (before, after) in enumerate(pairwise(told), start=1):
        early = after["start_time"] < before["start_time"]
        if early or _goes_back(truth, order[: place + 1]):
            yield f"{_shown(after)} comes after {_shown(before)}"


def _goes_back(truth: Truth, order: Sequence[int]) -> bool:
    """Whether the last of these turns comes too late: only an overlapped one may be resumed."""
    *earlier, before, now = order
    if now >= before:
        return False
    resumed, overlapping = truth.turns[now], truth.turns[before]
    return now not in earlier or resumed.end_time <= overlapping.start_time


def _turn_of(truth: Truth, segment: Segment) -> int:
    """Which turn a segment belongs to: of its speaker's, the one it shares most time with."""
    met = _turns_met(truth, segment)
    return max(met, key=lambda index: _shared_time(segment, truth.turns[index]))


def _turns_met(truth: Truth, segment: Segment) -> list[int]:
    return [index for index, turn in enumerate(truth.turns) if _meets(segment, turn)]


def _meets(segment: Segment, turn: Turn) -> bool:
    return segment["speaker"] == turn.speaker and _shared_time(segment, turn) >= 0


def _shared_time(segment: Segment, turn: Turn) -> float:
    """Seconds in both; negative is the gap between them."""
    end = min(segment["end_time"], turn.end_time)
    return end - max(segment["start_time"], turn.start_time)


def _named(turn: Turn) -> str:
    return f'the {turn.speaker} turn at {turn.start_time:.2f} s "{turn.text}"'


def _shown(segment: Segment) -> str:
    return f'the {segment["speaker"]} segment at {segment["start_time"]:.2f} s "{segment["text"]}"'
