"""Errors of a transcript against the truth: words, speakers, and order of turns."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NotRequired, TypedDict, get_args

import jiwer

from events.base import Channel
from infra.evaluation.truth import Truth, Turn

CHANNELS: tuple[Channel, ...] = get_args(Channel)
WORD_PATTERN = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
TURN_TOLERANCE = 0.5
"""Seconds by which a word may lie before or after the turn that it belongs to."""


class ApiWord(TypedDict):
    """A word as the HTTP API gives it (it may hold more); times in seconds."""

    word: str
    start_time: float
    end_time: float


class ApiSegment(TypedDict):
    """A segment as the HTTP API gives it (it may hold more); times in seconds."""

    speaker: str
    start_time: float
    end_time: float
    text: str
    words: NotRequired[Sequence[ApiWord]]


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Counts of the words spoken on one channel or several, and of the errors in them.

    `words` are those of the truth. `wrong_channel_words` are words of the other party (see
    `word_errors`), which are among the substituted or inserted ones as well.
    """

    words: int = 0
    substituted: int = 0
    deleted: int = 0
    inserted: int = 0
    wrong_channel_words: int = 0

    @property
    def rate(self) -> float | None:
        """Errors per word spoken; insertions can take it above 1.0. None if no word was spoken."""
        wrong = self.substituted + self.deleted + self.inserted
        return wrong / self.words if self.words else None


@dataclass(frozen=True, slots=True)
class RecognizedWord:
    """A recognised word, normalised; `at` is the time of its middle, in seconds."""

    word: str
    at: float


def total(several: Iterable[WordErrors]) -> WordErrors:
    """Return the sums of all counts."""
    counts = [
        (e.words, e.substituted, e.deleted, e.inserted, e.wrong_channel_words) for e in several
    ]
    return WordErrors(*map(sum, zip(*counts, strict=True)))


def normalised_words(text: str) -> str:
    """Return the words of a text in lower case, one space apart, without punctuation.

    Contractions stay as they are (``don't`` is one word, and not ``do not``), a curly
    apostrophe counts as a straight one, a hyphen parts two words, numbers stay as written.
    """
    return " ".join(_words(text))


def word_errors(truth: Truth, segments: Sequence[ApiSegment], speaker: Channel) -> WordErrors:
    """Count the word errors of one speaker's channel, after `normalised_words`.

    The words recognised there are aligned with the words of the speaker's turns so that there
    are the fewest errors (Levenshtein). A recognised word that matches none of them is a
    wrong-channel word if the other party says it at that time: it lies within a turn of the
    other party, or up to `TURN_TOLERANCE` seconds outside, and is a word of that turn, in the
    turn's order. For example, if the customer's turn "yes please" also appears on the agent's
    channel, that channel has two inserted words, and both are wrong-channel words. If a word was
    recognised twice, the one nearer in time to the speaker's turn is the match.
    """
    recognized = list(_recognized_words(segments, speaker))
    spoken = [(word, t) for t in truth.turns if t.speaker == speaker for word in _words(t.text)]
    aligned = jiwer.process_words(
        " ".join(word for word, _ in spoken), " ".join(each.word for each in recognized)
    )
    matched = _matched_indices(
        [
            (spoken[chunk.ref_start_idx + step][1], chunk.hyp_start_idx + step)
            for chunk in aligned.alignments[0]
            if chunk.type == "equal"
            for step in range(chunk.ref_end_idx - chunk.ref_start_idx)
        ],
        recognized,
    )
    return WordErrors(
        words=len(spoken),
        substituted=aligned.substitutions,
        deleted=aligned.deletions,
        inserted=aligned.insertions,
        wrong_channel_words=_wrong_channel_words(
            [word for index, word in enumerate(recognized) if index not in matched],
            [turn for turn in truth.turns if turn.speaker != speaker],
        ),
    )


def word_error_rate(
    truth: Truth, segments: Sequence[ApiSegment], speaker: Channel | None = None
) -> float:
    """Return the word errors (substituted, deleted, inserted) per spoken word.

    Without a `speaker`: the errors of both channels over the words of both. Each channel is
    aligned by itself, so a word on the wrong channel is two errors. 0.0 is perfect; insertions
    can take it above 1.0. Raises `ValueError` if no word was spoken.
    """
    speakers = (speaker,) if speaker else CHANNELS
    rate = total(word_errors(truth, segments, each) for each in speakers).rate
    if rate is None:
        raise ValueError("No word was spoken, so there is no rate of errors.")
    return rate


def common_word_count(spoken: Sequence[str], recognized: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of two lists of words."""
    best = [0] * (len(recognized) + 1)
    for word in spoken:
        before = 0
        for index, other in enumerate(recognized, start=1):
            longer = before + 1 if other == word else max(best[index], best[index - 1])
            before, best[index] = best[index], longer
    return best[-1]


def turn_order_errors(truth: Truth, segments: Sequence[ApiSegment]) -> list[str]:
    """Return a sentence for each place where the segments do not follow the order of the turns.

    There is none if every turn overlaps with a segment of its speaker; if every segment overlaps
    with a turn of its speaker, and with no two that have a turn of the other party in between;
    and if segments are ordered by start, and so are the turns they belong to. A turn may have
    several segments, and where two turns overlap, their segments may alternate.
    """
    return [
        *_missing_turns(truth, segments),
        *_segments_without_turn(truth, segments),
        *_segments_across_turns(truth, segments),
        *_segments_out_of_order(truth, segments),
    ]


def _missing_turns(truth: Truth, segments: Sequence[ApiSegment]) -> Iterator[str]:
    for turn in truth.turns:
        if not any(_overlaps(segment, turn) for segment in segments):
            yield f"no {turn.speaker} segment covers {_describe_turn(turn)}"


def _segments_without_turn(truth: Truth, segments: Sequence[ApiSegment]) -> Iterator[str]:
    for segment in segments:
        if not _turns_overlapped(truth, segment):
            yield f"no {segment['speaker']} turn is under {_describe_segment(segment)}"


def _segments_across_turns(truth: Truth, segments: Sequence[ApiSegment]) -> Iterator[str]:
    for segment in segments:
        overlapped = _turns_overlapped(truth, segment)
        between = truth.turns[overlapped[0] : overlapped[-1]] if overlapped else ()
        for turn in between:
            if turn.speaker != segment["speaker"]:
                yield f"{_describe_segment(segment)} spans {_describe_turn(turn)}"


def _segments_out_of_order(truth: Truth, segments: Sequence[ApiSegment]) -> Iterator[str]:
    matching = [segment for segment in segments if _turns_overlapped(truth, segment)]
    order = [_turn_of(truth, segment) for segment in matching]
    for index, (before, after) in enumerate(pairwise(matching), start=1):
        early = after["start_time"] < before["start_time"]
        if early or _is_out_of_order(truth, order[: index + 1]):
            yield f"{_describe_segment(after)} comes after {_describe_segment(before)}"


def _is_out_of_order(truth: Truth, order: Sequence[int]) -> bool:
    """Whether the last turn of `order` is out of order: only an overlapped one may be resumed."""
    *earlier, before, now = order
    if now >= before:
        return False
    resumed, overlapping = truth.turns[now], truth.turns[before]
    return now not in earlier or resumed.end_time <= overlapping.start_time


def _turn_of(truth: Truth, segment: ApiSegment) -> int:
    """Return the index of the speaker's turn that the segment shares most time with."""
    overlapped = _turns_overlapped(truth, segment)
    return max(overlapped, key=lambda index: _shared_time(segment, truth.turns[index]))


def _turns_overlapped(truth: Truth, segment: ApiSegment) -> list[int]:
    return [index for index, turn in enumerate(truth.turns) if _overlaps(segment, turn)]


def _overlaps(segment: ApiSegment, turn: Turn) -> bool:
    return segment["speaker"] == turn.speaker and _shared_time(segment, turn) >= 0


def _shared_time(segment: ApiSegment, turn: Turn) -> float:
    """Return the seconds that both share; if negative, the gap between them."""
    end = min(segment["end_time"], turn.end_time)
    return end - max(segment["start_time"], turn.start_time)


def _describe_turn(turn: Turn) -> str:
    return f'the {turn.speaker} turn at {turn.start_time:.2f} s "{turn.text}"'


def _describe_segment(segment: ApiSegment) -> str:
    return f'the {segment["speaker"]} segment at {segment["start_time"]:.2f} s "{segment["text"]}"'


def _words(text: str) -> list[str]:
    return WORD_PATTERN.findall(text.lower().replace("’", "'"))  # noqa: RUF001


def _recognized_words(segments: Sequence[ApiSegment], speaker: Channel) -> Iterator[RecognizedWord]:
    """Yield the recognised words of one speaker, segments in order of time."""
    spoken = [segment for segment in segments if segment["speaker"] == speaker]
    for segment in sorted(spoken, key=lambda segment: segment["start_time"]):
        yield from _timed_words(segment)


def _timed_words(segment: ApiSegment) -> Iterator[RecognizedWord]:
    """Yield the words of a segment's text with their times; evenly spread if it has none."""
    written = _words(segment["text"])
    timed = [
        RecognizedWord(part, (word["start_time"] + word["end_time"]) / 2)
        for word in segment.get("words", ())
        for part in _words(word["word"])
    ]
    if [each.word for each in timed] == written:
        yield from timed
        return
    length = (segment["end_time"] - segment["start_time"]) / max(1, len(written))
    for number, word in enumerate(written):
        yield RecognizedWord(word, segment["start_time"] + (number + 0.5) * length)


def _matched_indices(
    matched: Sequence[tuple[Turn, int]], recognized: Sequence[RecognizedWord]
) -> set[int]:
    """Return the indices of the recognised words that match the speaker's own words.

    `matched` pairs a turn with the index of a word, as the alignment gives them. Alignments with
    equally few errors differ in which of two equal words they match; here each word of a turn
    takes the one that is nearest in time.
    """
    indices = [-1, *(index for _, index in matched), len(recognized)]
    numbers = range(1, len(indices) - 1)
    for number in (*reversed(numbers), *numbers):
        now, turn = indices[number], matched[number - 1][0]
        between = range(indices[number - 1] + 1, indices[number + 1])
        word = recognized[now].word
        same = [now, *(index for index in between if recognized[index].word == word)]
        indices[number] = min(same, key=lambda index: _distance(recognized[index], turn))
    return set(indices[1:-1])


def _wrong_channel_words(unmatched: Sequence[RecognizedWord], turns: Sequence[Turn]) -> int:
    """Count the words that are words of the turns, each compared with the turn nearest in time."""
    found: dict[int, list[str]] = {}
    for word in unmatched:
        distances = [_distance(word, turn) for turn in turns]
        if distances and (nearest := min(distances)) <= TURN_TOLERANCE:
            found.setdefault(distances.index(nearest), []).append(word.word)
    return sum(
        common_word_count(_words(turns[index].text), words) for index, words in found.items()
    )


def _distance(word: RecognizedWord, turn: Turn) -> float:
    """Return the seconds between a word and a turn, 0 within it."""
    return max(turn.start_time - word.at, word.at - turn.end_time, 0)
