"""Calls made up word by word, with the truth about their turns.

Two parties take turns, with silence or some overlap in between; they pause inside a turn, answer
a question in a word, and give signs of listening while the other goes on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from events.base import Channel
from events.documents import ChannelTranscript, Segment, Word
from infra.evaluation.truth import Truth, Turn
from tests.support.examples import BOTH, heard

_LETTER = """
the account number is on a letter that we sent you last week and then my router began to blink red
so nobody could use it at home because every order from monday was gone
"""
VOCABULARY = _LETTER.split()
ANSWERS = ("yes", "no", "monday", "my sister", "seven five two")
SOUNDS = ("mm-hm", "uh-huh", "mhm")
NODS = ("yeah", "okay", "right", "i see", "yes sure")
OVERLAP = 0.8
"""Most seconds that a turn begins before the one above ends."""
SILENCE = 0.6
"""Seconds that a listener says nothing else around a sign of listening."""


FLOOR = 0.8
"""Seconds that the other has been speaking by then, and goes on to speak."""
WAIT = 0.4
"""Seconds of silence at the end of a sentence that are an invitation to answer."""


@dataclass(frozen=True)
class Conversation:
    """What was said: `truth` has the turns, without the back-channels, which are beside it."""

    truth: Truth
    backchannels: tuple[Turn, ...]
    words: dict[Channel, tuple[Word, ...]]

    def side(self, channel: Channel, pause: float = 0.2) -> ChannelTranscript:
        """The channel as an engine hears it that ends a segment at such a pause, in seconds."""
        return heard(channel, *segmented(self.words[channel], pause))

    def sides(self, pause: float = 0.2) -> list[ChannelTranscript]:
        return [self.side(channel, pause) for channel in BOTH]


@dataclass
class Making:
    """A conversation while it is made up; `free`: when a speaker may speak again, in seconds."""

    rng: np.random.Generator
    punctuated: bool
    turns: list[Turn] = field(default_factory=list)
    backchannels: list[Turn] = field(default_factory=list)
    words: dict[Channel, list[Word]] = field(default_factory=lambda: {"left": [], "right": []})
    free: dict[Channel, float] = field(default_factory=lambda: {"left": 0.0, "right": 0.0})

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def between(self, least: float, most: float) -> float:
        return float(self.rng.uniform(least, most))

    def one_of(self, several: Sequence[str]) -> str:
        return several[int(self.rng.integers(len(several)))]


def conversation(seed: int, turns: int = 24, *, punctuated: bool = True) -> Conversation:
    """A call of so many turns; the same seed makes the same call.

    With punctuation, as Whisper writes, or without, as sphinx does.
    """
    making = Making(np.random.default_rng(seed), punctuated)
    asked = False
    for number in range(turns):
        speaker = BOTH[(number + seed) % 2]
        if asked and making.chance(0.5):
            _answer(making, speaker)
            asked = False
        else:
            asked = making.chance(0.3)
            _turn(making, speaker, asks=asked)
    duration = max(turn.end_time for turn in making.turns) + 1
    return Conversation(
        Truth(duration=duration, turns=tuple(making.turns)),
        tuple(making.backchannels),
        {
            channel: tuple(sorted(words, key=lambda word: word.start_time))
            for channel, words in making.words.items()
        },
    )


def segmented(words: Sequence[Word], pause: float) -> Iterator[Segment]:
    """The words in segments that end where nothing is said for so many seconds."""
    cuts = [
        place
        for place, (before, after) in enumerate(pairwise(words), start=1)
        if after.start_time - before.end_time >= pause
    ]
    for first, last in pairwise((0, *cuts, len(words))):
        if first < last:
            yield segment_of(words[first:last])


def segment_of(words: Sequence[Word]) -> Segment:
    return Segment(
        start_time=words[0].start_time,
        end_time=words[-1].end_time,
        text=" ".join(word.word for word in words),
        confidence=sum(word.confidence for word in words) / len(words),
        words=tuple(words),
    )


def _answer(making: Making, speaker: Channel) -> None:
    """A word or so in reply; who asked waits for it."""
    words = making.one_of(ANSWERS).split()
    start = max(_ended(making) + making.between(0.3, 0.9), making.free[speaker])
    spoken = _said(making, _written(making, words, "."), start, [0.0] * len(words))
    _add(making, speaker, spoken)
    other: Channel = "right" if speaker == "left" else "left"
    making.free[other] = spoken[-1].end_time + making.between(0.3, 0.9)


def _turn(making: Making, speaker: Channel, *, asks: bool) -> None:
    """Some sentences, with pauses in and between them, to which the other may nod."""
    words: list[str] = []
    pauses: list[float] = []
    for _ in range(making.rng.integers(1, 4)):
        said = [making.one_of(VOCABULARY) for _ in range(making.rng.integers(4, 14))]
        words += _written(making, said, ".")
        pauses += [making.between(0.2, 0.9) if making.chance(0.08) else 0.0 for _ in said[1:]]
        pauses.append(making.between(0.0, 0.8))
    if asks and making.punctuated:
        words[-1] = words[-1].rstrip(".") + "?"
    spoken = _said(making, words, 0.0, pauses)
    length = spoken[-1].end_time
    gap = making.between(-min(OVERLAP, 0.4 * length), 1.5)
    start = max(_ended(making) + gap, _begun(making) + 0.3, making.free[speaker])
    _add(making, speaker, [_later(word, start) for word in spoken])
    _nods(making, speaker)


def _nods(making: Making, speaker: Channel) -> None:
    """Perhaps signs of listening in the latest turn, over its words or in a short pause."""
    turn = making.turns[-1]
    said = [word for word in making.words[speaker] if word.start_time >= turn.start_time]
    listener: Channel = "right" if speaker == "left" else "left"
    for before, after in pairwise(said):
        pauses = after.start_time > before.end_time and not before.word.endswith(".")
        words = making.one_of(SOUNDS if pauses else NODS).split()
        start = before.end_time + making.between(0.0, 0.1)
        spoken = _said(making, words, start, [0.0] * len(words))
        since, until = start - FLOOR, spoken[-1].end_time + FLOOR
        inside = turn.start_time < since and until < turn.end_time
        free = start >= making.free[listener] + SILENCE and making.chance(0.1)
        if inside and free and (pauses or not _waits(said, start, spoken[-1].end_time)):
            making.backchannels.append(_turn_of(listener, spoken))
            making.words[listener] += spoken
            making.free[listener] = spoken[-1].end_time + SILENCE


def _waits(said: Sequence[Word], start: float, end: float) -> bool:
    """Whether the speaker pauses at that time, as if for an answer."""
    return any(
        after.start_time - before.end_time > WAIT
        for before, after in pairwise(said)
        if before.end_time < end and after.start_time > start
    )


def _add(making: Making, speaker: Channel, words: Sequence[Word]) -> None:
    making.turns.append(_turn_of(speaker, words))
    making.words[speaker] += words
    making.free[speaker] = words[-1].end_time + 0.3


def _turn_of(speaker: Channel, words: Sequence[Word]) -> Turn:
    return Turn(
        speaker=speaker,
        start_time=words[0].start_time,
        end_time=words[-1].end_time,
        text=" ".join(word.word for word in words),
    )


def _written(making: Making, words: Sequence[str], stop: str) -> list[str]:
    if not making.punctuated:
        return list(words)
    return (
        [words[0].capitalize(), *words[1:-1], words[-1] + stop]
        if len(words) > 1
        else [words[0].capitalize() + stop]
    )


def _said(
    making: Making, words: Sequence[str], start: float, pauses: Sequence[float]
) -> list[Word]:
    """The words from then on, each with its pause after it."""
    spoken: list[Word] = []
    for word, pause in zip(words, pauses, strict=True):
        end = start + making.between(0.12, 0.45)
        confidence = round(making.between(0.3, 1.0), 3)
        spoken.append(Word(word=word, start_time=start, end_time=end, confidence=confidence))
        start = end + pause
    return spoken


def _later(word: Word, seconds: float) -> Word:
    start, end = word.start_time + seconds, word.end_time + seconds
    return replace(word, start_time=start, end_time=end)


def _ended(making: Making) -> float:
    return making.turns[-1].end_time if making.turns else 0.5


def _begun(making: Making) -> float:
    return making.turns[-1].start_time if making.turns else 0.5
