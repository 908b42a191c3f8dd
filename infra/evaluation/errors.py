"""How near a transcript comes to what was really said: words, speakers, and order of turns."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NotRequired, TypedDict, get_args

import jiwer

from infra.evaluation.truth import Speaker, Truth, Turn

SPEAKERS: tuple[Speaker, ...] = get_args(Speaker)
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
NEAR = 0.5
"""Seconds by which a word may be heard before or after the turn it is from."""


class Word(TypedDict):
    """A word as the HTTP API gives it (it may hold more); times in seconds."""

    word: str
    start_time: float
    end_time: float


class Segment(TypedDict):
    """A segment as the HTTP API gives it (it may hold more); times in seconds."""

    speaker: str
    start_time: float
    end_time: float
    text: str
    words: NotRequired[Sequence[Word]]


@dataclass(frozen=True, slots=True)
class WordErrors:
    """The words said on a channel, or on several, and what became of them, after `normalised`.

    `wrong_channel_words` are words of the other party (see `word_errors`), counted among the
    substituted or inserted ones already.
    """

    words: int = 0
    substituted: int = 0
    deleted: int = 0
    inserted: int = 0
    wrong_channel_words: int = 0

    @property
    def rate(self) -> float | None:
        """Errors per word said; insertions can take it above 1.0. None if no word was said."""
        wrong = self.substituted + self.deleted + self.inserted
        return wrong / self.words if self.words else None


@dataclass(frozen=True, slots=True)
class Heard:
    """A word as it was heard, normalised; `at` is the middle of it, in seconds."""

    word: str
    at: float


def total(several: Iterable[WordErrors]) -> WordErrors:
    """All their words and errors together."""
    counts = [
        (e.words, e.substituted, e.deleted, e.inserted, e.wrong_channel_words) for e in several
    ]
    return WordErrors(*map(sum, zip(*counts, strict=True)))


def normalised(text: str) -> str:
    """Return the words in lower case, one space apart, without punctuation.

    Contractions stay as they are (``don't`` is one word, and not ``do not``), a curly
    apostrophe counts as a straight one, a hyphen parts two words, numbers stay as written.
    """
    return " ".join(_words(text))


def word_errors(truth: Truth, segments: Sequence[Segment], speaker: Speaker) -> WordErrors:
    """The errors of one channel: what was heard there, aligned with what its speaker says.

    The alignment is the one with the fewest errors (Levenshtein). A word that it leaves over
    (inserted, or in another's place) is a wrong-channel word if the other party says it then: it
    lies in one of the other's turns, `NEAR` seconds more at both ends, and is a word of that
    turn, in its order. So a whole turn on the wrong channel counts as many of them as it
    has words, and so has the echo of one that was heard on its own channel too. Where a word
    was heard twice, the one nearer in time to the speaker's turn is the speaker's.
    """
    heard = list(_heard(segments, speaker))
    said = [(word, t) for t in truth.turns if t.speaker == speaker for word in _words(t.text)]
    aligned = jiwer.process_words(
        " ".join(word for word, _ in said), " ".join(one.word for one in heard)
    )
    own = _own(
        [
            (said[chunk.ref_start_idx + step][1], chunk.hyp_start_idx + step)
            for chunk in aligned.alignments[0]
            if chunk.type == "equal"
            for step in range(chunk.ref_end_idx - chunk.ref_start_idx)
        ],
        heard,
    )
    return WordErrors(
        words=len(said),
        substituted=aligned.substitutions,
        deleted=aligned.deletions,
        inserted=aligned.insertions,
        wrong_channel_words=_wrong_channel_words(
            [one for place, one in enumerate(heard) if place not in own],
            [turn for turn in truth.turns if turn.speaker != speaker],
        ),
    )


def word_error_rate(
    truth: Truth, segments: Sequence[Segment], speaker: Speaker | None = None
) -> float:
    """Word errors (substituted, deleted, inserted) per word truly said, after `normalised`.

    Of one speaker's channel, or of both: the errors of both over the words of both, each
    channel aligned by itself, so that a word on the wrong channel is two errors.
    0.0 is perfect; insertions can take it above 1.0. Raise `ValueError` if no word was said.
    """
    speakers = (speaker,) if speaker else SPEAKERS
    rate = total(word_errors(truth, segments, one) for one in speakers).rate
    if rate is None:
        raise ValueError("No word was said, so there is no rate of errors.")
    return rate


def in_common(said: Sequence[str], heard: Sequence[str]) -> int:
    """How many words both have in the same order: their longest common subsequence."""
    best = [0] * (len(heard) + 1)
    for word in said:
        before = 0
        for place, other in enumerate(heard, start=1):
            longer = before + 1 if other == word else max(best[place], best[place - 1])
            before, best[place] = best[place], longer
    return best[-1]


def turn_order_errors(truth: Truth, segments: Sequence[Segment]) -> list[str]:
    """Say where the segments, in the order given, do not tell the call's turns in true order.

    No errors means: every turn is met in time by a segment of its speaker; every segment
    meets a turn of its speaker, and no two with the other party's turn in between; segments
    are ordered by start, and so are the turns they belong to. A turn may be told in several
    segments, and where two turns overlap theirs may alternate.
    """
    return [
        *_untold(truth, segments),
        *_stray(truth, segments),
        *_straddling(truth, segments),
        *_misplaced(truth, segments),
    ]


def _untold(truth: Truth, segments: Sequence[Segment]) -> Iterator[str]:
    for turn in truth.turns:
        if not any(_meets(segment, turn) for segment in segments):
            yield f"no {turn.speaker} segment covers {_named(turn)}"


def _stray(truth: Truth, segments: Sequence[Segment]) -> Iterator[str]:
    for segment in segments:
        if not _turns_met(truth, segment):
            yield f"no {segment['speaker']} turn is under {_shown(segment)}"


def _straddling(truth: Truth, segments: Sequence[Segment]) -> Iterator[str]:
    for segment in segments:
        met = _turns_met(truth, segment)
        between = truth.turns[met[0] : met[-1]] if met else ()
        for turn in between:
            if turn.speaker != segment["speaker"]:
                yield f"{_shown(segment)} spans {_named(turn)}"


def _misplaced(truth: Truth, segments: Sequence[Segment]) -> Iterator[str]:
    told = [segment for segment in segments if _turns_met(truth, segment)]
    order = [_turn_of(truth, segment) for segment in told]
    for place, (before, after) in enumerate(pairwise(told), start=1):
        early = after["start_time"] < before["start_time"]
        if early or _goes_back(truth, order[: place + 1]):
            yield f"{_shown(after)} comes after {_shown(before)}"


def _goes_back(truth: Truth, order: Sequence[int]) -> bool:
    """Whether the last of these turns comes too late: only an overlapped one may be resumed."""
    *earlier, before, now = order
    if now >= before:
        return False
    resumed, overlapping = truth.turns[now], truth.turns[before]
    return now not in earlier or resumed.end_time <= overlapping.start_time


def _turn_of(truth: Truth, segment: Segment) -> int:
    """Which turn a segment belongs to: of its speaker's, the one it shares most time with."""
    met = _turns_met(truth, segment)
    return max(met, key=lambda index: _shared_time(segment, truth.turns[index]))


def _turns_met(truth: Truth, segment: Segment) -> list[int]:
    return [index for index, turn in enumerate(truth.turns) if _meets(segment, turn)]


def _meets(segment: Segment, turn: Turn) -> bool:
    return segment["speaker"] == turn.speaker and _shared_time(segment, turn) >= 0


def _shared_time(segment: Segment, turn: Turn) -> float:
    """Seconds in both; negative is the gap between them."""
    end = min(segment["end_time"], turn.end_time)
    return end - max(segment["start_time"], turn.start_time)


def _named(turn: Turn) -> str:
    return f'the {turn.speaker} turn at {turn.start_time:.2f} s "{turn.text}"'


def _shown(segment: Segment) -> str:
    return f'the {segment["speaker"]} segment at {segment["start_time"]:.2f} s "{segment["text"]}"'


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower().replace("’", "'"))  # noqa: RUF001


def _heard(segments: Sequence[Segment], speaker: Speaker) -> Iterator[Heard]:
    """All that was heard of one speaker, word by word, segments in order of time."""
    spoken = [segment for segment in segments if segment["speaker"] == speaker]
    for segment in sorted(spoken, key=lambda segment: segment["start_time"]):
        yield from _words_of(segment)


def _words_of(segment: Segment) -> Iterator[Heard]:
    """The words of its text, at the times of its words; spread evenly if it has no such words."""
    written = _words(segment["text"])
    timed = [
        Heard(part, (word["start_time"] + word["end_time"]) / 2)
        for word in segment.get("words", ())
        for part in _words(word["word"])
    ]
    if [one.word for one in timed] == written:
        yield from timed
        return
    length = (segment["end_time"] - segment["start_time"]) / max(1, len(written))
    for number, word in enumerate(written):
        yield Heard(word, segment["start_time"] + (number + 0.5) * length)


def _own(matched: Sequence[tuple[Turn, int]], heard: Sequence[Heard]) -> set[int]:
    """Which of the words heard are the speaker's own: as many as were matched, in their order.

    Alignments with equally few errors differ in which of two equal words they match; each word
    of a turn takes the one that is nearest to its turn.
    """
    places = [-1, *(place for _, place in matched), len(heard)]
    numbers = range(1, len(places) - 1)
    for number in (*reversed(numbers), *numbers):
        now, turn = places[number], matched[number - 1][0]
        between = range(places[number - 1] + 1, places[number + 1])
        same = [now, *(place for place in between if heard[place].word == heard[now].word)]
        places[number] = min(same, key=lambda place: _distance(heard[place], turn))
    return set(places[1:-1])


def _wrong_channel_words(heard: Sequence[Heard], turns: Sequence[Turn]) -> int:
    """How many of the words are those of the turns, each word in the turn nearest in time."""
    found: dict[int, list[str]] = {}
    for one in heard:
        distances = [_distance(one, turn) for turn in turns]
        if distances and (nearest := min(distances)) <= NEAR:
            found.setdefault(distances.index(nearest), []).append(one.word)
    return sum(in_common(_words(turns[index].text), words) for index, words in found.items())


def _distance(heard: Heard, turn: Turn) -> float:
    """Seconds between a word and a turn; 0 within it."""
    return max(turn.start_time - heard.at, heard.at - turn.end_time, 0)
