"""Choose the sentences that show what a call was about.

Edmundson (1969), "New methods in automatic extracting": a sentence's worth is a weighted sum of its
key words (those the call keeps coming back to), its cue words (those of trouble, cause, remedy,
promise and wish) and its location (the reason for a call comes early, its outcome late).
Nenkova & Vanderwende (2005), SumBasic: sentences are chosen one at a time, and the content of a
chosen one counts for less in the others. As worths only ever fall, a heap of stale worths finds
each next best sentence (Minoux 1978), so time is about linear in the length of the call.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from functions.summarize.extractive.sentences import Sentence
from functions.summarize.extractive.words import ASKING, COURTESIES, CUES, QUESTION_OPENERS

FEWEST, MOST = 2, 5
"""Fewest and most key points of a call with enough distinct sentences."""

_KEY, _CUE, _LOCATION = 1.0, 0.35, 0.3
"""Weights of the three parts of a sentence's worth."""
_REPEATED = 0.3
"""Share of its worth that a word or cue keeps with each chosen sentence that has it already."""
_MOST_CUES = 2
_HEADLINES = 3
"""Key points that the summary's text quotes."""
_SHORT, _LONG = 5, 40
"""Content words below which, and words above which, a sentence is worth less."""
_ALIKE = 0.6
"""Jaccard's index from which two sentences say the same."""
_POINTS_PER_SENTENCE = 0.6
"""Key points for each informative sentence of a short call."""
_QUESTION_WORTH = 0.5
"""Factor on the worth of a question, whose answer says more."""

_STARTS = {
    pointer: tuple(start.replace("_", " ") for start in starts.split())
    for pointer, starts in CUES.items()
}
_CLOSING = "\"'\u201d\u2019)"


def key_points(spoken: Sequence[Sentence]) -> list[Sentence]:
    """Return 2 to 5 key sentences, best first; fewer if the call has fewer distinct ones.

    No two are alike. Greetings and back-channels are chosen only where nothing else is left.
    """
    contentful = [sentence for sentence in spoken if sentence.content]
    informative = [sentence for sentence in contentful if _is_informative(sentence)] or contentful
    count = min(MOST, max(_HEADLINES, math.ceil(len(informative) * _POINTS_PER_SENTENCE)))
    points = _best(informative, count)
    _fill(points, contentful, _ALIKE)
    _fill(points, spoken, _ALIKE)
    _fill(points, spoken, 1.0)
    return points


def headlines(points: Sequence[Sentence]) -> list[Sentence]:
    """Return the best 3 key points to quote, and one more if all are of one speaker."""
    kept = list(points[:_HEADLINES])
    quoted = {sentence.speaker for sentence in kept}
    others = [sentence for sentence in points[_HEADLINES:] if sentence.speaker not in quoted]
    return kept + others[:1]


def in_spoken_order(chosen: Iterable[Sentence]) -> list[Sentence]:
    """Sort the sentences by their place in the call."""
    return sorted(chosen, key=lambda sentence: sentence.place)


def _best(informative: Sequence[Sentence], count: int) -> list[Sentence]:
    worth = _Worth(informative)
    heap = [(-worth.of(index), index) for index in range(len(informative))]
    heapq.heapify(heap)
    chosen: list[Sentence] = []
    while heap and len(chosen) < count:
        _, index = heapq.heappop(heap)
        fresh = (-worth.of(index), index)
        if heap and fresh > heap[0]:
            heapq.heappush(heap, fresh)
        elif not _is_alike(informative[index], chosen, _ALIKE):
            chosen.append(informative[index])
            worth.choose(index)
    return chosen


def _fill(points: list[Sentence], spoken: Iterable[Sentence], alike: float) -> None:
    for sentence in spoken:
        if len(points) >= FEWEST:
            return
        if not _is_alike(sentence, points, alike):
            points.append(sentence)


def _is_alike(sentence: Sentence, others: Iterable[Sentence], alike: float) -> bool:
    """Return whether another says the same, by Jaccard's index of their essences."""
    mine = sentence.essence
    pairs = ((mine & other.essence, mine | other.essence) for other in others)
    return any(len(shared) / len(either) >= alike for shared, either in pairs)


class _Worth:
    """Each sentence's worth, given the sentences chosen already. It never rises."""

    def __init__(self, informative: Sequence[Sentence]) -> None:
        spoken = Counter(word for sentence in informative for word in sentence.content)
        self._weight = {word: math.log2(1 + times) for word, times in spoken.items()}
        self._informative = informative
        self._cues = [_cues(sentence) for sentence in informative]
        self._covered: Counter[str] = Counter()
        self._pointed: Counter[str] = Counter()
        self._scale = 1.0
        self._scale = max((self._key(sentence) for sentence in informative), default=1.0)

    def of(self, index: int) -> float:
        sentence = self._informative[index]
        cue = sum(_REPEATED ** self._pointed[pointer] for pointer in self._cues[index])
        place = _LOCATION * _location(index, len(self._informative))
        asks = _QUESTION_WORTH if _is_question(sentence) else 1.0
        brief = math.sqrt(min(1.0, _LONG / len(sentence.words)))
        return asks * brief * (_KEY * self._key(sentence) + _CUE * min(cue, _MOST_CUES) + place)

    def choose(self, index: int) -> None:
        self._covered.update(self._informative[index].content)
        self._pointed.update(self._cues[index])

    def _key(self, sentence: Sentence) -> float:
        weights = (
            self._weight[word] * _REPEATED ** self._covered[word] for word in sentence.content
        )
        return sum(weights) / max(_SHORT, len(sentence.content)) / self._scale


def _is_informative(sentence: Sentence) -> bool:
    """Return False for a mere name in a greeting ("Hi Priya", "City Dental, how can I help?")."""
    fewest = 2 if sentence.own == sentence.words else 3
    return len(sentence.content) >= fewest or bool(_cues(sentence))


def _cues(sentence: Sentence) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cue for word in sentence.own for cue in _cues_of(word)))


@lru_cache(maxsize=4096)
def _cues_of(word: str) -> tuple[str, ...]:
    return tuple(pointer for pointer, starts in _STARTS.items() if f"{word} ".startswith(starts))


def _location(index: int, count: int) -> float:
    """Return 1 at either end of the call, 0 in its middle."""
    return (2 * index / (count - 1) - 1) ** 2 if count > 1 else 1.0


def _is_question(sentence: Sentence) -> bool:
    if sentence.text.rstrip(_CLOSING).endswith(("?", "\uff1f")):
        return True
    opening = [word for word in sentence.words if word not in COURTESIES][:2]
    return len(opening) > 1 and opening[0] in ASKING and opening[1] in QUESTION_OPENERS
