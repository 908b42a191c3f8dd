"""Tell back-channels from turns.

A back-channel (Yngve 1970, "On getting a word in edgewise") is a short sign of attention while
the other party has the floor. It is recognised by its own shortness and by the other going on.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from functions.merge.phrases import BREATH, SENTENCE_PAUSE, TURN_PAUSE, Phrase, normalised

SHORT_TURN_GAP = 0.5
"""Seconds of silence that part one speaker's short turns."""
SHORT = 1.0
"""Most seconds of a back-channel of other words, if `TURN_PAUSE` of silence is around it."""
FEW = 3
"""Most words of such a back-channel."""
LONGEST_BACKCHANNEL = 2.0
"""Most seconds of a back-channel that is made of back-channel words only."""
FLOOR = 0.5
"""Seconds that the other party must speak before a back-channel, and after it."""
EXACT = 0.1
"""Seconds by which a recogniser's times may be wrong."""

_SOUNDS = "ah aha hm hmm huh mhm mm mm-hm mm-hmm mmhm mmhmm mmm oh uh-huh uhuh um"
_WORDS = """
absolutely alright all exactly fine gotcha good great i indeed no nope okay ok right see sure true
understand understood well wow yeah yep yes yup
"""
NONWORDS = frozenset(_SOUNDS.split())
"""Sounds that answer nothing, so the other party may have waited while they were made."""
BACKCHANNEL_WORDS = NONWORDS | frozenset(_WORDS.split())
"""Words that show attention; also those of "i see" and "all right"."""


@dataclass(frozen=True, slots=True)
class ShortTurn:
    """Phrases of one speaker, and the seconds of that speaker's silence around them."""

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
    """Group one speaker's phrases into short turns, with `SHORT_TURN_GAP` of silence between."""
    silences = [after.start - before.end for before, after in pairwise(phrases)]
    cuts = [index for index, silence in enumerate(silences, start=1) if silence >= SHORT_TURN_GAP]
    around = [inf, *silences, inf]
    for first, last in pairwise((0, *cuts, len(phrases))):
        if first < last:
            yield ShortTurn(tuple(phrases[first:last]), min(around[first], around[last]))


class Floor:
    """One speaker's phrases: whether the other's short turns lie inside them."""

    def __init__(self, phrases: Sequence[Phrase]) -> None:
        self._phrases = phrases
        self._starts = [phrase.start for phrase in phrases]

    def goes_on_over(self, turn: ShortTurn) -> bool:
        """Return whether the other's turn is a back-channel: short, and this speaker goes on.

        A pause for it is no longer than one within a sentence; where it could be an answer, no
        longer than one between two sentences. After a question it is an answer.
        """
        spoken = turn.spoken()
        if not _is_short(turn, spoken):
            return False
        sound = NONWORDS.issuperset(spoken)
        index = bisect_right(self._starts, turn.start) - 1
        return index >= 0 and self._reaches(index, turn, sound=sound)

    def _reaches(self, index: int, turn: ShortTurn, *, sound: bool) -> bool:
        """Return whether the speech at phrase `index` runs from before the turn to after it."""
        first = last = index
        while self._phrases[first].start > turn.start - FLOOR:
            if first == 0 or not self._runs_on(first - 1, turn, sound=sound):
                return False
            first -= 1
        while self._phrases[last].end < turn.end + FLOOR:
            if last + 1 == len(self._phrases) or not self._runs_on(last, turn, sound=sound):
                return False
            last += 1
        return True

    def _runs_on(self, index: int, turn: ShortTurn, *, sound: bool) -> bool:
        before, after = self._phrases[index : index + 2]
        pause = after.start - before.end
        if before.end >= turn.end - EXACT or after.start <= turn.start + EXACT:
            return pause <= TURN_PAUSE  # the other's turn is over or has not begun
        if before.is_question:
            return pause < BREATH
        within = sound and not before.ends_sentence
        return pause <= (TURN_PAUSE if within else SENTENCE_PAUSE)


def _is_short(turn: ShortTurn, spoken: Sequence[str]) -> bool:
    seconds = turn.end - turn.start
    if BACKCHANNEL_WORDS.issuperset(spoken):
        return seconds <= LONGEST_BACKCHANNEL
    return seconds <= SHORT and len(spoken) <= FEW and turn.silence >= TURN_PAUSE
