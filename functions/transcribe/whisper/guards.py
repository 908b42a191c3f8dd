"""Assess whether a model's text can be trusted.

The signs are Whisper's own (Radford et al. 2022, section 4.5): text that compresses too well is a
loop, a low mean log-probability is a guess, and a guess at what may be no speech is silence.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

T = TypeVar("T")


class TextQuality(Enum):
    """Whether a window's text can be trusted; `SILENT` if nobody speaks in the window."""

    GOOD = auto()
    SILENT = auto()
    DOUBTFUL = auto()


@dataclass(frozen=True, slots=True)
class Guards:
    """When a text is doubted.

    `temperatures` are tried in turn until a text is good; the first is 0 for the likeliest text.
    `repetitive` is the compression ratio above which a text repeats itself, `unlikely` the mean
    log-probability below which it is a guess, `no_speech` the probability of no speech above
    which a guess counts as silence. `gap` is the length in seconds from which speech
    without a word is decoded again.
    """

    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    repetitive: float = 2.4
    unlikely: float = -1.0
    no_speech: float = 0.6
    gap: float = 2.0

    def assess(self, text: str, mean_log_probability: float, no_speech: float) -> TextQuality:
        """Assess a text. An empty text is good unless it is unlikely."""
        unlikely = mean_log_probability < self.unlikely
        if unlikely and no_speech > self.no_speech:
            return TextQuality.SILENT
        return TextQuality.DOUBTFUL if unlikely or self.repeats(text) else TextQuality.GOOD

    def repeats(self, text: str) -> bool:
        """Return whether the text is a loop."""
        return compression_ratio(text) > self.repetitive


def compression_ratio(text: str) -> float:
    """Return the text's bytes over its compressed bytes (zlib); 0 for no text."""
    written = text.encode()
    return len(written) / len(zlib.compress(written)) if written else 0.0


LONGEST_PHRASE = 16
"""Most words of a phrase that is looked for."""
TIMES = 3
"""Repetitions from which a phrase is a loop."""


def without_loops(words: Sequence[T], text: Callable[[T], str]) -> list[T]:
    """Return the words with each repeated phrase once.

    A phrase is repeated if it follows itself three times or more. Phrases of up to 16 words are
    looked for, short ones first; `text` returns what is compared.
    """
    kept = list(words)
    for length in range(1, LONGEST_PHRASE + 1):
        places = list(_without_repeats([text(word) for word in kept], length))
        kept = [kept[place] for place in places]
    return kept


def _without_repeats(words: Sequence[str], length: int) -> Iterator[int]:
    """Yield the indices of the words that stay."""
    at = 0
    while at < len(words):
        times = _times(words, at, length)
        is_loop = times >= TIMES
        yield from range(at, at + (length if is_loop else 1))
        at += times * length if is_loop else 1


def _times(words: Sequence[str], at: int, length: int) -> int:
    """Return how often the phrase of `length` words at index `at` follows itself."""
    phrase = words[at : at + length]
    times = 1
    while words[at + times * length : at + (times + 1) * length] == phrase:
        times += 1
    return times if len(phrase) == length else 0
