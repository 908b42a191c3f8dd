"""From Whisper's timed tokens to words and segments."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from sys import intern
from typing import NamedTuple

from events.documents import Segment, Word

SEGMENT_PAUSE = 0.5
"""Seconds of silence between two words that end a segment: the other party may speak there."""
SPACELESS = frozenset({"ja", "lo", "my", "th", "yue", "zh"})
"""Languages written without spaces, where every token is a word."""
AT_LEAST, PER_DIGIT, PER_CHARACTER = 0.4, 0.6, 0.1
"""Seconds that any word may last, and seconds more for each digit and other character."""
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and lone surrogates: PostgreSQL keeps no NUL, JSON no surrogate."""


class Token(NamedTuple):
    """A part of the text, with its leading space if it begins a word. Times in seconds."""

    text: str
    start: float
    end: float
    probability: float


def words_of(tokens: Iterable[Token], language: str) -> Iterator[Token]:
    """Join the tokens of each word, such as `-of` to `state`, a comma or a quote.

    A word's times and probability are those of its spoken tokens, because punctuation often gets
    the pause after it. A word without printable text is left out.
    """
    word: list[Token] = []
    for token in tokens:
        if word and (language in SPACELESS or token.text.startswith(" ")):
            yield from _word(word)
            word = []
        word.append(token)
    yield from _word(word)


def _word(tokens: Sequence[Token]) -> Iterator[Token]:
    text = UNPRINTABLE.sub("", "".join(token.text for token in tokens)).strip()
    if text:
        spoken = [token for token in tokens if is_spoken(token.text)] or tokens
        probability = sum(token.probability for token in spoken) / len(spoken)
        yield Token(text, spoken[0].start, spoken[-1].end, min(max(probability, 0.0), 1.0))


def longest_duration(word: str) -> float:
    """Return the most seconds that a word may last when it is drawled.

    Digits count more: `$1,250` is spoken as one thousand two hundred fifty dollars.
    """
    digits = sum(character.isdigit() for character in word)
    return AT_LEAST + PER_DIGIT * digits + PER_CHARACTER * (len(word) - digits)


def is_overlong(word: Token) -> bool:
    """Return whether the word lasts too long: it got the time of skipped speech beside it."""
    return word.end - word.start > longest_duration(word.text)


def is_spoken(text: str) -> bool:
    """Return whether the text has a letter or a digit; without one it is no speech."""
    return any(character.isalnum() for character in text)


def in_order(words: Iterable[Token], since: float, until: float) -> Iterator[Word]:
    """Yield the words without overlaps, between `since` and `until`, none longer than it was.

    A long call has many words: equal ones share their text in memory.
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
    """Return segments without a pause inside; words that are no speech make none.

    A segment's confidence is the mean of its words'. Its text is the words joined by a space, or
    by nothing in a language without spaces. Both probabilities are the engine's, for the window.
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
    """Yield the words in groups with a pause between them."""
    cuts = [
        index
        for index, (before, after) in enumerate(pairwise(words), start=1)
        if after.start_time - before.end_time >= SEGMENT_PAUSE
    ]
    for first, last in pairwise((0, *cuts, len(words))):
        yield words[first:last]
