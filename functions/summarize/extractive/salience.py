"""Which sentences of a call tell what it was about.

Edmundson (1969), "New methods in automatic extracting": a sentence's worth is a weighted sum of its
key words (those the call keeps coming back to), its cue words (those of trouble, cause, remedy,
promise and wish) and its location (the reason for a call is told early, its outcome late).
Nenkova & Vanderwende (2005), SumBasic: sentences are taken one at a time, and what a chosen one
has told counts for less in the others. As worths only ever fall, a heap of stale worths finds each
next best sentence (Minoux 1978), so time is about linear in the length of the call.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from functions.summarize.extractive.sentences import Sentence
from functions.summarize.extractive.words import ASKING, COURTESIES, CUES, QUESTION_OPENERS

FEWEST, MOST = 2, 5
"""Key points of a call that has as many distinct sentences."""

_KEY, _CUE, _LOCATION = 1.0, 0.35, 0.3
_TOLD_BEFORE = 0.3
_MOST_CUES = 2
_HEADLINES = 3
_SHORT, _LONG = 5, 40
_ALIKE = 0.6
_POINTS_PER_SENTENCE = 0.6
_QUESTION_WORTH = 0.5

_STARTS = {
    pointer: tuple(start.replace("_", " ") for start in starts.split())
    for pointer, starts in CUES.items()
}
_CLOSING = "\"'\u201d\u2019)"


def key_points(said: Sequence[Sentence]) -> list[Sentence]:
    """The sentences to remember, best first: 2 to 5, fewer only of a call with fewer distinct ones.

    No two are alike. Greetings and back-channels come in only where nothing else is left.
    """
    contentful = [sentence for sentence in said if sentence.content]
    telling = [sentence for sentence in contentful if _is_telling(sentence)] or contentful
    wanted = min(MOST, max(_HEADLINES, math.ceil(len(telling) * _POINTS_PER_SENTENCE)))
    points = _best(telling, wanted)
    _fill(points, contentful, _ALIKE)
    _fill(points, said, _ALIKE)
    _fill(points, said, 1.0)
    return points


def headlines(points: Sequence[Sentence]) -> list[Sentence]:
    """The 1 to 4 key points (given best first) to quote: 3, and the other speaker's if none is."""
    kept = list(points[:_HEADLINES])
    heard = {sentence.speaker for sentence in kept}
    unheard = [sentence for sentence in points[_HEADLINES:] if sentence.speaker not in heard]
    return kept + unheard[:1]


def in_spoken_order(chosen: Iterable[Sentence]) -> list[Sentence]:
    """The same sentences, the first said first."""
    return sorted(chosen, key=lambda sentence: sentence.place)


def _best(telling: Sequence[Sentence], wanted: int) -> list[Sentence]:
    worth = _Worth(telling)
    heap = [(-worth.of(index), index) for index in range(len(telling))]
    heapq.heapify(heap)
    chosen: list[Sentence] = []
    while heap and len(chosen) < wanted:
        _, index = heapq.heappop(heap)
        fresh = (-worth.of(index), index)
        if heap and fresh > heap[0]:
            heapq.heappush(heap, fresh)
        elif not _is_alike(telling[index], chosen, _ALIKE):
            chosen.append(telling[index])
            worth.tell(index)
    return chosen


def _fill(points: list[Sentence], said: Iterable[Sentence], alike: float) -> None:
    for sentence in said:
        if len(points) >= FEWEST:
            return
        if not _is_alike(sentence, points, alike):
            points.append(sentence)


def _is_alike(sentence: Sentence, others: Iterable[Sentence], alike: float) -> bool:
    """Whether another tells the same, by Jaccard's index of their essences."""
    mine = sentence.essence
    pairs = ((mine & other.essence, mine | other.essence) for other in others)
    return any(len(shared) / len(either) >= alike for shared, either in pairs)


class _Worth:
    """What each sentence is worth, given what has been told already. It never rises."""

    def __init__(self, telling: Sequence[Sentence]) -> None:
        spoken = Counter(word for sentence in telling for word in sentence.content)
        self._weight = {word: math.log2(1 + times) for word, times in spoken.items()}
        self._telling = telling
        self._cues = [_cues(sentence) for sentence in telling]
        self._told: Counter[str] = Counter()
        self._pointed: Counter[str] = Counter()
        self._scale = 1.0
        self._scale = max((self._key(sentence) for sentence in telling), default=1.0)

    def of(self, index: int) -> float:
        sentence = self._telling[index]
        cue = sum(_TOLD_BEFORE ** self._pointed[pointer] for pointer in self._cues[index])
        place = _LOCATION * _location(index, len(self._telling))
        asks = _QUESTION_WORTH if _is_question(sentence) else 1.0
        brief = math.sqrt(min(1.0, _LONG / len(sentence.words)))
        return asks * brief * (_KEY * self._key(sentence) + _CUE * min(cue, _MOST_CUES) + place)

    def tell(self, index: int) -> None:
        self._told.update(self._telling[index].content)
        self._pointed.update(self._cues[index])

    def _key(self, sentence: Sentence) -> float:
        weights = (
            self._weight[word] * _TOLD_BEFORE ** self._told[word] for word in sentence.content
        )
        return sum(weights) / max(_SHORT, len(sentence.content)) / self._scale


def _is_telling(sentence: Sentence) -> bool:
    """Not just a name in a greeting ("Hi Priya", "City Dental, how can I help?")."""
    fewest = 2 if sentence.own == sentence.words else 3
    return len(sentence.content) >= fewest or bool(_cues(sentence))


def _cues(sentence: Sentence) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cue for word in sentence.own for cue in _cues_of(word)))


@lru_cache(maxsize=4096)
def _cues_of(word: str) -> tuple[str, ...]:
    return tuple(pointer for pointer, starts in _STARTS.items() if f"{word} ".startswith(starts))


def _location(index: int, count: int) -> float:
    """1 at either end of the call, 0 in its middle."""
    return (2 * index / (count - 1) - 1) ** 2 if count > 1 else 1.0


def _is_question(sentence: Sentence) -> bool:
    if sentence.text.rstrip(_CLOSING).endswith(("?", "\uff1f")):
        return True
    opening = [word for word in sentence.words if word not in COURTESIES][:2]
    return len(opening) > 1 and opening[0] in ASKING and opening[1] in QUESTION_OPENERS
