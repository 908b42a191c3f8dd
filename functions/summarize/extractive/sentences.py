"""Cut a conversation into sentences, with or without punctuation."""

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
    """One sentence as it was spoken.

    `place` counts the conversation's sentences from 0. `words` are its words in lower case, `own`
    those outside the set phrases of a call, `content` the content words among these, each once, in
    the singular, in spoken order. A greeting, a back-channel or a number has no content.
    """

    place: int
    text: str
    speaker: Channel
    words: tuple[str, ...]
    own: tuple[str, ...]
    content: tuple[str, ...]

    @property
    def essence(self) -> frozenset[str]:
        """The words that must differ for another sentence to say something else."""
        distinctive = (word for word in self.words if word in NEGATIONS or word[0].isdigit())
        return frozenset(self.content).union(distinctive) or frozenset(self.words or (self.text,))


def sentences(segments: Sequence[SpokenSegment]) -> list[Sentence]:
    """Return all sentences in spoken order; a segment without punctuation is one sentence."""
    spoken = sorted(segments, key=lambda segment: segment.start_time)
    texts = ((text, part.speaker) for part in spoken for text in split_sentences(part.text))
    return [_read(place, text, speaker) for place, (text, speaker) in enumerate(texts)]


def split_sentences(text: str) -> Iterator[str]:
    """Cut at full stops, never inside a clause; each sentence is found verbatim in `text`."""
    start = 0
    for token in _TOKEN.finditer(text):
        if _ends_sentence(token.group(), text[token.end() : token.end() + 2].strip()):
            yield text[start : token.end()].strip()
            start = token.end()
    if rest := text[start:].strip():
        yield rest


def spoken_words(text: str) -> tuple[str, ...]:
    """Return the words in lower case, without punctuation, with apostrophes."""
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
    content = tuple(dict.fromkeys(_singular(word) for word in own if _is_content(word)))
    return Sentence(place, text, speaker, words, own, content)


def _is_content(word: str) -> bool:
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
