"""A synthesiser's answer: the sound of a text with the times of its words and phones."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from infra.training.data.mel import RATE, Audio
from infra.training.data.utterances import Phone, Word

EDGE = 0.02
"""Seconds kept before the first and after the last word."""
LONG_PAUSE = "_:"
"""espeak-ng's name for a pause between clauses."""


@dataclass(frozen=True)
class Spoken:
    """A text as a voice says it; all times in seconds of the audio."""

    text: str
    voice: str
    audio: Audio
    words: tuple[Word, ...]
    phones: tuple[Phone, ...]

    @property
    def seconds(self) -> float:
        return len(self.audio) / RATE


def resampled(audio: Audio, rate: int) -> Audio:
    """The samples, of this rate, at 16 kHz."""
    block = rate // np.gcd(rate, RATE)
    audio = np.pad(audio, (0, -len(audio) % block))
    count = len(audio) * RATE // rate
    spectrum = np.fft.rfft(audio)[: count // 2 + 1]
    return np.asarray(np.fft.irfft(spectrum, count) * (count / len(audio)), dtype=np.float32)


def timed_words(
    text: str, starts: dict[int, float], phones: Sequence[Phone], end: float
) -> tuple[Word, ...]:
    """The words by where their first letters start (position in the text to seconds).

    A word ends where the next one begins or at the pause before that. Of a word without a start
    (espeak-ng runs "of the" together) the time is interpolated.
    """
    found = [(match.start(), match.group()) for match in re.finditer(r"\S+", text)]
    begins = _interpolated([starts.get(at) for at, _ in found], end)
    pauses = [phone.start for phone in phones if phone.name == LONG_PAUSE]
    words = []
    for (_, word), (begin, then) in zip(found, pairwise(begins), strict=True):
        inside = [pause for pause in pauses if begin < pause < then]
        words.append(Word(word, round(begin, 3), round(min([then, *inside]), 3)))
    return tuple(words)


def _interpolated(starts: Sequence[float | None], end: float) -> list[float]:
    """Starts with the unknown ones between their neighbours, and the end behind them."""
    times = [starts[0] or 0.0, *starts[1:], end]
    known = [number for number, at in enumerate(times) if at is not None]
    at = [time for time in times if time is not None]
    return [float(time) for time in np.interp(np.arange(len(times)), known, at)]


def trimmed(spoken: Spoken) -> Spoken:
    """Cut silence off both ends, so that times start at the first word."""
    lead = max(0.0, spoken.words[0].start - EDGE)
    end = min(spoken.seconds, spoken.words[-1].end + EDGE)
    audio = spoken.audio[int(lead * RATE) : int(end * RATE)].copy()

    def moved(at: float) -> float:
        return round(max(0.0, min(at - lead, len(audio) / RATE)), 3)

    return Spoken(
        spoken.text,
        spoken.voice,
        audio,
        tuple(Word(word, moved(begin), moved(end)) for word, begin, end in spoken.words),
        tuple(Phone(name, moved(at)) for name, at in spoken.phones),
    )
