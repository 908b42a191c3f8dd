"""Remove a channel's echo words: words of the other party that leaked into it.

This is done only where split measured a leak. A word is an echo if the other channel has the same
word, or one much like it, at that time; so nothing is removed while the other party is silent.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from statistics import fmean

from events.base import Channel
from events.documents import Bleed, ChannelTranscript, Echo, Quality, Segment, Word
from functions.merge.phrases import TURN_PAUSE, normalised, spacing, written

ECHO_TOLERANCE = 0.3
"""Seconds by which the beginnings, or the ends, of a word and its echo may differ."""
ONSET_ERROR = 1.0
"""Seconds by which a recogniser may draw a word's beginning into the silence before it."""
SAME_WORD_RATIO = 0.75
"""Share of common letters from which one word may be the other, badly recognised."""
ALONE = 0.3
"""Seconds of silence around a single word that may be an echo. A word like "and" in the middle of
speech is the speaker's own; equal words are said at equal times by chance."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A word, or a whole segment without words; `place` is the index of its segment."""

    place: int
    word: Word | None
    start: float
    end: float
    written: str
    letters: str


def without_echoes(
    sides: Sequence[ChannelTranscript], quality: Quality | None
) -> tuple[tuple[ChannelTranscript, ...], tuple[Echo, ...]]:
    """Return the channels without the words that leaked into them, and these in order of time.

    An echo is no source of echoes in the other channel, and the source of an echo stays, so of a
    word that both channels have, one is always kept.
    """
    cleaned = {side.channel: side for side in sides}
    echoes: list[Echo] = []
    originals: set[tuple[Channel, float, str]] = set()
    for bleed in quality.bleed if quality else ():
        if bleed.source != bleed.into and {bleed.source, bleed.into} <= cleaned.keys():
            side, source = cleaned[bleed.into], cleaned[bleed.source]
            cleaned[bleed.into], found = _cleaned(side, source, bleed, originals)
            echoes += found
    echoes.sort(key=lambda echo: (echo.start_time, echo.end_time, echo.channel))
    return tuple(cleaned[side.channel] for side in sides), tuple(echoes)


def _cleaned(
    side: ChannelTranscript,
    source: ChannelTranscript,
    bleed: Bleed,
    originals: set[tuple[Channel, float, str]],
) -> tuple[ChannelTranscript, list[Echo]]:
    """Return the channel without its echoes, and the echoes; add their sources to `originals`."""
    units, others = _units(side.segments), _units(source.segments)
    space = spacing(side.segments)
    sources = [
        None if (side.channel, unit.start, unit.written) in originals else place
        for unit, place in zip(units, _sources(units, others, bleed.delay), strict=True)
    ]
    runs = [range(*run) for run in _echoes(units, sources)]
    gone = {place for run in runs for place in run}
    found = [others[place] for at in gone if (place := sources[at]) is not None]
    originals.update((source.channel, unit.start, unit.written) for unit in found)
    left = [unit for place, unit in enumerate(units) if place not in gone]
    kept = tuple(_kept(side.segments, left, space))
    echoes = [_echo([units[place] for place in run], side.channel, space) for run in runs]
    return side.model_copy(update={"segments": kept}), echoes


def _units(segments: Sequence[Segment]) -> list[Unit]:
    return sorted(
        (unit for place, segment in enumerate(segments) for unit in _of(place, segment)),
        key=lambda unit: (unit.start, unit.end, unit.place),
    )


def _of(place: int, segment: Segment) -> Iterator[Unit]:
    if not segment.words:
        text = segment.text.strip()
        yield Unit(place, None, segment.start_time, segment.end_time, text, _letters(text))
    for word in segment.words:
        letters = _letters(word.word)
        yield Unit(place, word, word.start_time, word.end_time, word.word, letters)


def _letters(text: str) -> str:
    return " ".join(normalised(text))


def _echoes(units: Sequence[Unit], sources: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Yield first and last + 1 of each run of echoes among the units."""
    for first, last in _runs(units, sources):
        if last - first > 1 or _is_alone(units, first):
            yield first, last


def _sources(units: Sequence[Unit], others: Sequence[Unit], delay: float) -> list[int | None]:
    """Return for each unit the index of the other channel's unit that it may echo, or None."""
    starts = [unit.start + delay for unit in others]
    sources: list[int | None] = []
    following = 0
    for unit in units:
        first = max(following, bisect_left(starts, unit.start - ONSET_ERROR))
        last = bisect_left(starts, unit.start + ONSET_ERROR)
        near = (place for place in range(first, last) if _is_echo(unit, others[place], delay))
        source = next(near, None)  # the first leaves most to the words that follow
        following = following if source is None else source + 1
        sources.append(source)
    return sources


def _is_echo(unit: Unit, source: Unit, delay: float) -> bool:
    late = min(abs(unit.start - source.start - delay), abs(unit.end - source.end - delay))
    return late <= ECHO_TOLERANCE and _are_alike(unit.letters, source.letters)


def _are_alike(one: str, other: str) -> bool:
    if not one or not other:
        return False
    return (
        one == other or SequenceMatcher(None, one, other, autojunk=False).ratio() >= SAME_WORD_RATIO
    )


def _runs(units: Sequence[Unit], sources: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Yield first and last + 1 of the units with a source that follow each other closely."""
    first = 0
    for place in range(len(units) + 1):
        ends = place == len(units) or sources[place] is None
        if ends or (place > first and units[place].start - units[place - 1].end >= TURN_PAUSE):
            if place > first:
                yield first, place
            first = place + 1 if ends else place


def _is_alone(units: Sequence[Unit], place: int) -> bool:
    """Return whether no other word is close to this one."""
    around = pairwise(units[max(0, place - 1) : place + 2])
    return all(after.start - before.end >= ALONE for before, after in around)


def _echo(run: Sequence[Unit], channel: Channel, space: str) -> Echo:
    return Echo(
        channel=channel,
        start_time=run[0].start,
        end_time=max(unit.end for unit in run),
        text=space.join(unit.written for unit in run),
    )


def _kept(segments: Sequence[Segment], left: Sequence[Unit], space: str) -> Iterator[Segment]:
    """Yield the segments with the words that are left, without the empty ones."""
    words: dict[int, list[Word]] = {}
    for unit in left:
        words.setdefault(unit.place, []).extend([unit.word] if unit.word else ())
    for place, segment in enumerate(segments):
        if place in words:
            yield _with(segment, words[place], space)


def _with(segment: Segment, words: Sequence[Word], space: str) -> Segment:
    if len(words) == len(segment.words):
        return segment
    return segment.model_copy(
        update={
            "start_time": words[0].start_time,
            "end_time": max(word.end_time for word in words),
            "text": written(segment, words, space),
            "confidence": fmean(word.confidence for word in words),
            "words": tuple(words),
        }
    )
