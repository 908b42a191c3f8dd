"""A conversation as subtitles: SubRip (`.srt`) and WebVTT (`.vtt`, W3C).

Cues are in order of their start; where both speakers talk at once, they overlap as the speech
does. A segment is one cue, unless its text is longer than a player shows at once.
"""

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

SegmentBody: TypeAlias = Mapping[str, Any]
"""A segment of the API: `speaker`, `text`, `start_time` and `end_time` in seconds, `words`."""

LONGEST_CUE = 160
"""Characters of one cue: about as many as a player shows in a few lines."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One line of what a speaker says from `start` to `end`, in milliseconds."""

    start: int
    end: int
    speaker: str
    text: str


def cues(segments: Iterable[SegmentBody], names: Mapping[str, str]) -> list[Cue]:
    """Return the segments as cues in order of their start, each at least 1 ms long.

    `names` are the speakers' names by channel; a channel without one is its own name.
    """
    found: list[Cue] = []
    for segment in segments:
        speaker = _one_line(names.get(segment["speaker"], segment["speaker"]))
        for start, end, text in _parts(segment):
            if line := _one_line(text):
                begin = max(_milliseconds(start), 0)
                found.append(Cue(begin, max(_milliseconds(end), begin + 1), speaker, line))
    return sorted(found, key=lambda cue: cue.start)


def srt(segments: Iterable[SegmentBody], names: Mapping[str, str]) -> str:
    """Return SubRip: numbered cues, times as 00:00:00,000, the speaker before the text."""
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        f"{_without_arrow(f'{cue.speaker}: {cue.text}')}\n"
        for number, cue in enumerate(cues(segments, names), 1)
    )


def vtt(segments: Iterable[SegmentBody], names: Mapping[str, str]) -> str:
    """Return WebVTT: the speaker as the voice of the cue (`<v agent>`), the text escaped."""
    blocks = (
        f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
        f"<v {_escaped(cue.speaker)}>{_escaped(cue.text)}</v>\n"
        for cue in cues(segments, names)
    )
    return "".join(["WEBVTT\n", *blocks])


def _parts(segment: SegmentBody) -> Iterator[tuple[float, float, str]]:
    """Yield the segment, or rows of its words if it is too long for one cue."""
    words: Sequence[SegmentBody] = segment.get("words") or ()
    count = math.ceil(len(segment["text"]) / LONGEST_CUE)
    if count <= 1 or not words:
        yield segment["start_time"], segment["end_time"], segment["text"]
        return
    for row in _rows(words, math.ceil(len(segment["text"]) / count)):
        yield row[0]["start_time"], row[-1]["end_time"], " ".join(word["word"] for word in row)


def _rows(words: Sequence[SegmentBody], length: int) -> Iterator[list[SegmentBody]]:
    """Yield the words in rows of at most `length` characters, if no word is longer."""
    row: list[SegmentBody] = []
    used = 0
    for word in words:
        size = len(word["word"]) + 1
        if row and used + size > length + 1:
            yield row
            row, used = [], 0
        row.append(word)
        used += size
    yield row


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{rest:03d}"


def _one_line(text: str) -> str:
    """Return the text in one line; a blank line would end the cue."""
    return " ".join(text.split())


def _without_arrow(text: str) -> str:
    """Return the text with shorter arrows: in SubRip `-->` marks a line of times."""
    while "-->" in text:
        text = text.replace("-->", "->")
    return text


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
