"""From what Whisper hears, piece by piece, to words and segments."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from sys import intern
from typing import NamedTuple

from events.documents import Segment, Word

SEGMENT_PAUSE = 0.5
"""Seconds of silence between two words that end a segment: the other party may speak there."""
SPACELESS = frozenset({"ja", "lo", "my", "th", "yue", "zh"})
"""Languages written without spaces, where every piece is a word."""
AT_LEAST, PER_DIGIT, PER_CHARACTER = 0.4, 0.6, 0.1
"""Seconds that any word may last, and how many more for each digit and other character of it."""
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and lone surrogates: PostgreSQL keeps no NUL, JSON no surrogate."""


class Token(NamedTuple):
    """A part of the text, with its leading space if it begins a word. Times in seconds."""

    text: str
    start: float
    end: float
    probability: float


def words_of(pieces: Iterable[Token], language: str) -> Iterator[Token]:
    """Whole words: joins what belongs to one, such as `-of` to `state`, a comma or a quote.

    Times and probability are those of what is spoken of it: punctuation often gets the pause
    after it. What says nothing is left out.
    """
    word: list[Token] = []
    for piece in pieces:
        if word and (language in SPACELESS or piece.text.startswith(" ")):
            yield from _word(word)
            word = []
        word.append(piece)
    yield from _word(word)


def _word(pieces: Sequence[Token]) -> Iterator[Token]:
    text = UNPRINTABLE.sub("", "".join(piece.text for piece in pieces)).strip()
    if text:
        said = [piece for piece in pieces if is_spoken(piece.text)] or pieces
        probability = sum(piece.probability for piece in said) / len(said)
        yield Token(text, said[0].start, said[-1].end, min(max(probability, 0.0), 1.0))


def longest_duration(word: str) -> float:
    """Seconds in which it is said, drawled; `$1,250` is one thousand two hundred fifty dollars."""
    digits = sum(character.isdigit() for character in word)
    return AT_LEAST + PER_DIGIT * digits + PER_CHARACTER * (len(word) - digits)


def is_stretched(word: Token) -> bool:
    """Whether it has more time than its own: a word gets that of speech left out beside it."""
    return word.end - word.start > longest_duration(word.text)


def is_spoken(text: str) -> bool:
    """Whether there is a letter or a digit in it: else it is no speech."""
    return any(character.isalnum() for character in text)


def in_order(words: Iterable[Token], since: float, until: float) -> Iterator[Word]:
    """The words one after the other between two times, none longer than it was.

    A long call has many: equal ones share their text.
    """
    for word in words:
        start = min(max(word.start, since), until)
        since = min(max(word.end, start), until)
        yield Word(
            word=intern(word.text),
            start_time=round(start, 3),
            end_time=round(since, 3),
            confidence=word.probability,
        )


def segments_of(
    words: Sequence[Word],
    language: str,
    *,
    mean_log_probability: float | None = None,
    no_speech_probability: float | None = None,
) -> list[Segment]:
    """Segments without a pause inside; none of what is no speech.

    A segment's confidence is the mean of its words'. Its text is the words with a space between,
    or nothing in a language that writes none. Both probabilities are the engine's, of all.
    """
    space = "" if language in SPACELESS else " "
    return [
        Segment(
            start_time=group[0].start_time,
            end_time=group[-1].end_time,
            text=space.join(word.word for word in group),
            confidence=sum(word.confidence for word in group) / len(group),
            words=tuple(group),
            mean_log_probability=mean_log_probability,
            no_speech_probability=no_speech_probability,
        )
        for group in _parted(words)
        if any(is_spoken(word.word) for word in group)
    ]


def _parted(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """The words in groups with a pause between."""
    cuts = [
        place
        for place, (before, after) in enumerate(pairwise(words), start=1)
        if after.start_time - before.end_time >= SEGMENT_PAUSE
    ]
    for first, last in pairwise((0, *cuts, len(words))):
        yield words[first:last]
