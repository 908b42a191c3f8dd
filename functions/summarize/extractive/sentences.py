"""Sentences of a conversation, with or without punctuation to tell them by."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from events.base import Channel
from events.documents import SpokenSegment
from functions.summarize.extractive.words import (
    ABBREVIATIONS,
    COURTESIES,
    FORMULAS,
    NEGATIONS,
    STOP_WORDS,
)

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_FULL_WIDTH = r"\u3002\uff01\uff1f"
_CLOSING = r"[\"'\u201d\u2019\u300d\u300f)\]]*"
_TOKEN = re.compile(rf"[^\s{_FULL_WIDTH}]*[{_FULL_WIDTH}]+{_CLOSING}|[^\s{_FULL_WIDTH}]+")
_FULL_STOP = re.compile(rf"[.!?…{_FULL_WIDTH}]+{_CLOSING}$")
_INITIAL = re.compile(r"[a-hj-z]")
_DOTTED = re.compile(r"[a-z](?:\.[a-z])+|etc")
_SHORT_PLURAL = 3


@dataclass(frozen=True)
class Sentence:
    """One sentence as it was said.

    `place` counts the conversation's sentences from 0.
    `words` are its words in lower case, `own` those outside the set phrases of a call, `content`
    those of them that tell something, each once, in the singular, in spoken order. No content: a
    greeting, a back-channel, a number being read out.
    """

    place: int
    text: str
    speaker: Channel
    words: tuple[str, ...]
    own: tuple[str, ...]
    content: tuple[str, ...]

    @property
    def essence(self) -> frozenset[str]:
        """What must differ for another sentence to say something else."""
        told = (word for word in self.words if word in NEGATIONS or word[0].isdigit())
        return frozenset(self.content).union(told) or frozenset(self.words or (self.text,))


def sentences(segments: Sequence[SpokenSegment]) -> list[Sentence]:
    """Every sentence in spoken order; a segment without punctuation is one sentence."""
    spoken = sorted(segments, key=lambda segment: segment.start_time)
    pieces = ((text, part.speaker) for part in spoken for text in split_sentences(part.text))
    return [_read(place, text, speaker) for place, (text, speaker) in enumerate(pieces)]


def split_sentences(text: str) -> Iterator[str]:
    """Cut at full stops, never inside a clause; each piece is found verbatim in `text`."""
    start = 0
    for token in _TOKEN.finditer(text):
        if _ends_sentence(token.group(), text[token.end() : token.end() + 2].strip()):
            yield text[start : token.end()].strip()
            start = token.end()
    if rest := text[start:].strip():
        yield rest


def spoken_words(text: str) -> tuple[str, ...]:
    """The words in lower case, punctuation dropped, apostrophes kept."""
    return tuple(_WORD.findall(text.lower().replace("\u2019", "'")))


def _ends_sentence(token: str, following: str) -> bool:
    stop = _FULL_STOP.search(token)
    if stop is None:
        return False
    stem = token[: stop.start()].lower()
    if stop.group() == "." and (stem in ABBREVIATIONS or _INITIAL.fullmatch(stem)):
        return False
    trails_off = stop.group().startswith(("..", "…"))
    return not (following.islower() and (trails_off or _DOTTED.fullmatch(stem)))


def _read(place: int, text: str, speaker: Channel) -> Sentence:
    words = spoken_words(text)
    own = tuple(FORMULAS.sub(" ", " ".join(words)).split())
    content = tuple(dict.fromkeys(_singular(word) for word in own if _tells(word)))
    return Sentence(place, text, speaker, words, own, content)


def _tells(word: str) -> bool:
    plain = word not in STOP_WORDS and word not in COURTESIES and word not in NEGATIONS
    return plain and not word[0].isdigit() and (len(word) > 1 or not word.isascii())


def _singular(word: str) -> str:
    """Harman (1991), "How effective is suffixing?": the S-stemmer."""
    if word.endswith("'s"):
        return word[:-2]
    if len(word) <= _SHORT_PLURAL or word.endswith(("us", "ss")) or not word.endswith("s"):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    return word[:-1]
