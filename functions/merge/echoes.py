"""Take words out of a channel that are the other party's, heard there because the sound leaks.

Only where split measured such a leak. A word is an echo if the other channel has the same word,
or one much like it, at that time; so nothing is taken out while the other party is silent.
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
STRETCHED = 1.0
"""Seconds by which a recogniser may draw a word's beginning into the silence before it."""
SAME_WORD_RATIO = 0.75
"""Part of two words' letters in common, after which one may be the other, heard badly."""
ALONE = 0.3
"""Seconds of silence around a single word that may be an echo. A word like "and", in the middle
of what is said there, is the speaker's own; equal ones are said at equal times by chance."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A word, or the whole segment if it has none; `place` is its segment's."""

    place: int
    word: Word | None
    start: float
    end: float
    written: str
    letters: str


def without_echoes(
    sides: Sequence[ChannelTranscript], quality: Quality | None
) -> tuple[tuple[ChannelTranscript, ...], tuple[Echo, ...]]:
    """The channels without the words that leaked into them, and what was taken out, in time order.

    What is an echo of one channel is no source of echoes in the other, and what an echo was taken
    out for stays, so of a word that both channels have, one is always kept.
    """
    known = {side.channel: side for side in sides}
    echoes: list[Echo] = []
    originals: set[tuple[Channel, float, str]] = set()
    for bleed in quality.bleed if quality else ():
        if bleed.source != bleed.into and {bleed.source, bleed.into} <= known.keys():
            side, source = known[bleed.into], known[bleed.source]
            known[bleed.into], found = _cleaned(side, source, bleed, originals)
            echoes += found
    echoes.sort(key=lambda echo: (echo.start_time, echo.end_time, echo.channel))
    return tuple(known[side.channel] for side in sides), tuple(echoes)


def _cleaned(
    side: ChannelTranscript,
    source: ChannelTranscript,
    bleed: Bleed,
    originals: set[tuple[Channel, float, str]],
) -> tuple[ChannelTranscript, list[Echo]]:
    """The channel without its echoes, and these; adds what they are echoes of to `originals`."""
    heard, said = _units(side.segments), _units(source.segments)
    space = spacing(side.segments)
    sources = [
        None if (side.channel, unit.start, unit.written) in originals else place
        for unit, place in zip(heard, _sources(heard, said, bleed.delay), strict=True)
    ]
    runs = [range(*run) for run in _echoes(heard, sources)]
    gone = {place for run in runs for place in run}
    heard_of = [said[place] for at in gone if (place := sources[at]) is not None]
    originals.update((source.channel, unit.start, unit.written) for unit in heard_of)
    left = [unit for place, unit in enumerate(heard) if place not in gone]
    kept = tuple(_kept(side.segments, left, space))
    echoes = [_echo([heard[place] for place in run], side.channel, space) for run in runs]
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


def _echoes(heard: Sequence[Unit], sources: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Where runs of words that were said on the other channel begin and end among those heard."""
    for first, last in _runs(heard, sources):
        if last - first > 1 or _is_alone(heard, first):
            yield first, last


def _sources(heard: Sequence[Unit], said: Sequence[Unit], delay: float) -> list[int | None]:
    """For each unit heard, the place of the one that it may be an echo of, in the same order."""
    starts = [unit.start + delay for unit in said]
    sources: list[int | None] = []
    following = 0
    for unit in heard:
        first = max(following, bisect_left(starts, unit.start - STRETCHED))
        last = bisect_left(starts, unit.start + STRETCHED)
        near = (place for place in range(first, last) if _is_echo(unit, said[place], delay))
        source = next(near, None)  # the first leaves most to the words that follow
        following = following if source is None else source + 1
        sources.append(source)
    return sources


def _is_echo(heard: Unit, said: Unit, delay: float) -> bool:
    late = min(abs(heard.start - said.start - delay), abs(heard.end - said.end - delay))
    return late <= ECHO_TOLERANCE and _are_alike(heard.letters, said.letters)


def _are_alike(one: str, other: str) -> bool:
    if not one or not other:
        return False
    return (
        one == other or SequenceMatcher(None, one, other, autojunk=False).ratio() >= SAME_WORD_RATIO
    )


def _runs(heard: Sequence[Unit], sources: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Units with a source that follow each other without a long pause."""
    first = 0
    for place in range(len(heard) + 1):
        ends = place == len(heard) or sources[place] is None
        if ends or (place > first and heard[place].start - heard[place - 1].end >= TURN_PAUSE):
            if place > first:
                yield first, place
            first = place + 1 if ends else place


def _is_alone(heard: Sequence[Unit], place: int) -> bool:
    """Whether no other word is heard close to this one."""
    around = pairwise(heard[max(0, place - 1) : place + 2])
    return all(after.start - before.end >= ALONE for before, after in around)


def _echo(run: Sequence[Unit], channel: Channel, space: str) -> Echo:
    return Echo(
        channel=channel,
        start_time=run[0].start,
        end_time=max(unit.end for unit in run),
        text=space.join(unit.written for unit in run),
    )


def _kept(segments: Sequence[Segment], left: Sequence[Unit], space: str) -> Iterator[Segment]:
    """The segments with the words that are left; those of which nothing is left are gone."""
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
