"""Sentiment of sentences and calls, by the VADER lexicon.

Hutto & Gilbert (2014), "VADER: a parsimonious rule-based model for sentiment analysis of social
media text". It goes by words, so unpunctuated lower-case speech is fine. The words of
`NEUTRAL_IN_CALLS` are removed: with "how can I help you", "please" and "credit card" every call
would be a happy one.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from typing import Protocol

from events.documents import Sentiment
from functions.summarize.extractive.sentences import Sentence
from functions.summarize.extractive.words import BARE_THANKS, NEUTRAL_IN_CALLS

THRESHOLD = 0.05
"""VADER's own: scores from here on are positive, below the opposite negative, else neutral."""

_WINDOW = 50
"""Most words that are scored at a time."""
_OUTCOME = 3.0
"""Weight of the last sentence over that of the first."""
_UNMOVED = 0.5
"""Factor on the weight of a sentence without any sentiment."""


class _Analyzer(Protocol):
    lexicon: dict[str, float]

    def polarity_scores(self, text: str) -> dict[str, float]: ...


def label(score: float) -> Sentiment:
    """Return the label of a score of -1 to 1."""
    if score >= THRESHOLD:
        return "positive"
    return "negative" if score <= -THRESHOLD else "neutral"


def call_score(spoken: Sequence[Sentence]) -> float:
    """Return a score of -1 to 1 for the whole call, from its sentences in spoken order.

    A mean weighted by three things. Length: the root of its words, set phrases ("thank you for
    calling", "have a nice day") left out, so that "oh great" does not outweigh a complaint.
    Lateness: how a call ends is what it came to (the peak-end rule, Fredrickson & Kahneman 1993),
    so the last sentence weighs three times the first. Sentiment: a sentence without any weighs
    half, so that a routine call with one kind word stays near neutral.
    """
    total = weights = 0.0
    for order, sentence in enumerate(spoken):
        score = score_of(_own_text(sentence))
        lateness = 1 + (_OUTCOME - 1) * order / max(1, len(spoken) - 1)
        weight = math.sqrt(len(sentence.own)) * lateness * (1.0 if score else _UNMOVED)
        total += weight * score
        weights += weight
    return round(total / weights, 4) if weights else 0.0


def score_of(text: str) -> float:
    """Return VADER's compound score of a sentence, -1 to 1; of a long one the mean of its windows.

    Windows, because the compound of a long text runs to the extremes, and its cost to the square.
    """
    return _mean([_analyzer().polarity_scores(window)["compound"] for window in _windows(text)])


@cache
def lexicon_digest() -> str:
    """Return the SHA-256 of the lexicon's file."""
    return sha256(files("vaderSentiment").joinpath("vader_lexicon.txt").read_bytes()).hexdigest()


def lexicon_version() -> str:
    """Return the release of the lexicon's package, such as 3.3.2."""
    return version("vaderSentiment")


@cache
def _analyzer() -> _Analyzer:
    # Imported at the first use: module and lexicon take some 50 ms of a cold start.
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415

    analyzer: _Analyzer = SentimentIntensityAnalyzer()
    for word in NEUTRAL_IN_CALLS:
        analyzer.lexicon.pop(word, None)
    return analyzer


def _own_text(sentence: Sentence) -> str:
    """Return the sentence with capitals and exclamation marks, unless set phrases are removed."""
    text = sentence.text if sentence.own == sentence.words else " ".join(sentence.own)
    return BARE_THANKS.sub("", text)


def _windows(text: str) -> Iterator[str]:
    words = text.split()
    for start in range(0, len(words), _WINDOW):
        yield " ".join(words[start : start + _WINDOW])


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores) if scores else 0.0
