"""Tell signs of listening from turns.

A back-channel (Yngve 1970, "On getting a word in edgewise") is a short sign of attention while
the other party has the floor. It is recognised by its own shortness and by the other going on.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from functions.merge.phrases import BREATH, SENTENCE_PAUSE, TURN_PAUSE, Phrase, normalised

REMARK_GAP = 0.5
"""Seconds of silence around a remark: what its speaker says within them belongs to it."""
SHORT = 1.0
"""Seconds a remark may last whatever its words, if more silence is around it: `PAUSE`."""
FEW = 3
"""Most words of such a remark."""
LONGEST_BACKCHANNEL = 2.0
"""Seconds a remark may last that is made of listening words only."""
FLOOR = 0.5
"""Seconds that the other must have spoken before a remark, and go on after it."""
EXACT = 0.1
"""Seconds by which a recogniser's times may be wrong."""

_SOUNDS = "ah aha hm hmm huh mhm mm mm-hm mm-hmm mmhm mmhmm mmm oh uh-huh uhuh um"
_WORDS = """
absolutely alright all exactly fine gotcha good great i indeed no nope okay ok right see sure true
understand understood well wow yeah yep yes yup
"""
NONWORDS = frozenset(_SOUNDS.split())
"""They answer nothing, so the other may have waited while they were made."""
BACKCHANNEL_WORDS = NONWORDS | frozenset(_WORDS.split())
"""Also of "i see" and "all right": together they say that one listens."""


@dataclass(frozen=True, slots=True)
class ShortTurn:
    """Phrases of one speaker, and the seconds for which nothing else is said around them."""

    phrases: tuple[Phrase, ...]
    silence: float

    @property
    def start(self) -> float:
        return self.phrases[0].start

    @property
    def end(self) -> float:
        return max(phrase.end for phrase in self.phrases)

    def spoken(self) -> list[str]:
        return [word for phrase in self.phrases for word in normalised(phrase.text)]


def short_turns(phrases: Sequence[Phrase]) -> Iterator[ShortTurn]:
    """One speaker's phrases, parted where nothing is said for a while."""
    silences = [after.start - before.end for before, after in pairwise(phrases)]
    cuts = [place for place, silence in enumerate(silences, start=1) if silence >= REMARK_GAP]
    around = [inf, *silences, inf]
    for first, last in pairwise((0, *cuts, len(phrases))):
        if first < last:
            yield ShortTurn(tuple(phrases[first:last]), min(around[first], around[last]))


class Floor:
    """What one speaker says, to find out whether the other's remarks lie inside of it."""

    def __init__(self, phrases: Sequence[Phrase]) -> None:
        self._phrases = phrases
        self._starts = [phrase.start for phrase in phrases]

    def is_kept(self, remark: ShortTurn) -> bool:
        """Whether the remark is a back-channel: short, and the speaker here goes on over it.

        A pause for it is no longer than one within the sentence; where the remark could be an
        answer, no longer than between two sentences. After a question it is an answer.
        """
        spoken = remark.spoken()
        if not _is_short(remark, spoken):
            return False
        sound = NONWORDS.issuperset(spoken)
        place = bisect_right(self._starts, remark.start) - 1
        return place >= 0 and self._reaches(place, remark, sound=sound)

    def _reaches(self, place: int, remark: ShortTurn, *, sound: bool) -> bool:
        """Whether what is said at this place runs from well before the remark to well after."""
        first = last = place
        while self._phrases[first].start > remark.start - FLOOR:
            if first == 0 or not self._runs_on(first - 1, remark, sound=sound):
                return False
            first -= 1
        while self._phrases[last].end < remark.end + FLOOR:
            if last + 1 == len(self._phrases) or not self._runs_on(last, remark, sound=sound):
                return False
            last += 1
        return True

    def _runs_on(self, place: int, remark: ShortTurn, *, sound: bool) -> bool:
        before, after = self._phrases[place : place + 2]
        pause = after.start - before.end
        if before.end >= remark.end - EXACT or after.start <= remark.start + EXACT:
            return pause <= TURN_PAUSE  # the remark is over or not yet begun
        if before.asks:
            return pause < BREATH
        within = sound and not before.ends_sentence
        return pause <= (TURN_PAUSE if within else SENTENCE_PAUSE)


def _is_short(remark: ShortTurn, spoken: Sequence[str]) -> bool:
    seconds = remark.end - remark.start
    if BACKCHANNEL_WORDS.issuperset(spoken):
        return seconds <= LONGEST_BACKCHANNEL
    return seconds <= SHORT and len(spoken) <= FEW and remark.silence >= TURN_PAUSE
