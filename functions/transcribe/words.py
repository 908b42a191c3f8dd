"""From what Whisper hears, piece by piece, to segments of words."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from events.documents import Segment, Word

PAUSE = 0.5
"""Seconds of silence between two words that end a segment: the other party may speak there."""
SPACELESS = frozenset({"ja", "lo", "my", "th", "yue", "zh"})
"""Languages written without spaces, where every piece is a word."""
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and lone surrogates: PostgreSQL keeps no NUL, JSON no surrogate."""


class Piece(NamedTuple):
    """A part of the text, with its leading space if it begins a word. Times in seconds."""

    text: str
    start: float
    end: float
    probability: float


def segments_of(
    pieces: Iterable[Piece], language: str, since: float, until: float
) -> list[Segment]:
    """Segments without a pause inside; words follow each other between `since` and `until`.

    A segment's confidence is the mean of its words', a word's the mean of its pieces'. Text is
    the words with a space between, or nothing in a language that writes none. What holds no
    letter and no digit is no speech and left out.
    """
    words = _in_order(_words(pieces, language), since, until)
    space = "" if language in SPACELESS else " "
    return [
        _segment(group, space)
        for group in _parted(list(words))
        if any(character.isalnum() for word in group for character in word.word)
    ]


def _words(pieces: Iterable[Piece], language: str) -> Iterator[Word]:
    """Join what belongs to one word, such as `-of` to `state`, and leave out what says nothing."""
    word: list[Piece] = []
    for piece in pieces:
        if word and (language in SPACELESS or piece.text.startswith(" ")):
            yield from _word(word)
            word = []
        word.append(piece)
    yield from _word(word)


def _word(pieces: Sequence[Piece]) -> Iterator[Word]:
    text = UNPRINTABLE.sub("", "".join(piece.text for piece in pieces)).strip()
    if text:
        confidence = sum(piece.probability for piece in pieces) / len(pieces)
        yield Word(
            word=text,
            start_time=max(pieces[0].start, 0.0),
            end_time=max(pieces[-1].end, 0.0),
            confidence=min(max(confidence, 0.0), 1.0),
        )


def _in_order(words: Iterable[Word], since: float, until: float) -> Iterator[Word]:
    for word in words:
        start = min(max(word.start_time, since), until)
        since = min(max(word.end_time, start), until)
        yield word.model_copy(update={"start_time": round(start, 3), "end_time": round(since, 3)})


def _parted(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """The words in groups with a pause between."""
    cuts = [
        place
        for place, (before, after) in enumerate(pairwise(words), start=1)
        if after.start_time - before.end_time >= PAUSE
    ]
    for first, last in pairwise((0, *cuts, len(words))):
        yield words[first:last]


def _segment(words: Sequence[Word], space: str) -> Segment:
    return Segment(
        start_time=words[0].start_time,
        end_time=words[-1].end_time,
        text=space.join(word.word for word in words),
        confidence=sum(word.confidence for word in words) / len(words),
        words=tuple(words),
    )
