"""The phrases of a channel: words that follow each other without a breath in between."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import fmean

from events.base import Channel
from events.documents import ChannelTranscript, Segment, Word

BREATH = 0.2
"""Seconds of silence between two words that part two phrases."""
TURN_PAUSE = 1.0
"""Seconds of silence within a sentence that end a segment."""
SENTENCE_PAUSE = 0.5
"""The same after the end of a sentence, and in text without punctuation."""
QUESTION = re.compile(r"[?\uff1f][\"'\u201d\u2019)\]]*$")
SENTENCE_END = re.compile(r"(?:(?<!\.)\.|[!?\u3002\uff01\uff1f])[\"'\u201d\u2019)\]]*$")
"""Three dots do not end a sentence: the speaker may go on."""
WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words of one segment that follow each other; without word times, the whole segment.

    `start` and `end` are seconds of the recording; `space` is what its channel's words are
    written with in between; `patience` is how long a pause after it may be, in seconds, for
    what follows to belong to it.
    """

    speaker: Channel
    source: Segment
    words: tuple[Word, ...]
    start: float
    end: float
    space: str
    patience: float

    @property
    def text(self) -> str:
        return written(self.source, self.words, self.space)

    @property
    def length(self) -> int:
        """Number of words."""
        return len(self.words) or len(self.source.text.split())

    @property
    def is_question(self) -> bool:
        return QUESTION.search(self.text) is not None

    @property
    def ends_sentence(self) -> bool:
        return ends_sentence(self.text)


def phrases_of(side: ChannelTranscript) -> list[Phrase]:
    """Return the channel's phrases in order of time. A segment without text has none.

    A phrase ends at a pause, at the end of a sentence, and where its segment ends.
    """
    segments = sorted(
        (segment for segment in side.segments if segment.words or segment.text.strip()),
        key=lambda segment: (segment.start_time, segment.end_time, segment.text),
    )
    space = spacing(segments)
    within = TURN_PAUSE if any(ends_sentence(one.text) for one in segments) else SENTENCE_PAUSE
    return [
        Phrase(
            speaker=side.channel,
            source=segment,
            words=words,
            start=words[0].start_time if words else segment.start_time,
            end=max((word.end_time for word in words), default=segment.end_time),
            space=space,
            patience=SENTENCE_PAUSE if ends_sentence(last_of(segment, words)) else within,
        )
        for segment in segments
        for words in _parted(segment.words)
    ]


def _parted(words: tuple[Word, ...]) -> Iterator[tuple[Word, ...]]:
    cuts = [
        index
        for index, (before, after) in enumerate(pairwise(words), start=1)
        if after.start_time - before.end_time >= BREATH or ends_sentence(before.word)
    ]
    for first, last in pairwise((0, *cuts, len(words))):
        yield words[first:last]


def spacing(segments: Sequence[Segment]) -> str:
    """Return what stands between the channel's words: nothing in Chinese or Japanese."""
    together = any(
        segment.text == "".join(word.word for word in segment.words)
        for segment in segments
        if len(segment.words) > 1
    )
    return "" if together else " "


def written(source: Segment, words: Sequence[Word], space: str) -> str:
    """Return the words as text: the segment's own text if they are all of its words."""
    if len(words) == len(source.words):
        return source.text.strip()
    return space.join(word.word for word in words)


def last_of(segment: Segment, words: Sequence[Word]) -> str:
    """Return the text that the words end with; the last words end as their segment does."""
    if not words or words[-1] is segment.words[-1]:
        return segment.text
    return words[-1].word


def ends_sentence(text: str) -> bool:
    """Return whether the text ends as a sentence does."""
    return SENTENCE_END.search(text.rstrip()) is not None


def normalised(text: str) -> tuple[str, ...]:
    """Return the words in lower case, without punctuation."""
    return tuple(WORD.findall(text.lower()))


def joined(phrases: Sequence[Phrase]) -> Segment:
    """Join phrases that follow each other into one segment; no word is lost or changed.

    Its confidence is the mean of its words', or of its phrases' by their length in time if some
    have no words. The mean log probability is that of its sources by number of words, the
    no-speech probability their highest, both of those sources that have one.
    """
    return Segment(
        start_time=min(phrase.start for phrase in phrases),
        end_time=max(phrase.end for phrase in phrases),
        text=_text(phrases),
        confidence=_confidence(phrases),
        words=_words(phrases),
        mean_log_probability=_mean_log_probability(phrases),
        no_speech_probability=max(
            (
                phrase.source.no_speech_probability
                for phrase in phrases
                if phrase.source.no_speech_probability is not None
            ),
            default=None,
        ),
    )


def _words(phrases: Sequence[Phrase]) -> tuple[Word, ...]:
    return tuple(word for phrase in phrases for word in phrase.words)


def _text(phrases: Sequence[Phrase]) -> str:
    """A source that is there as a whole keeps its text; one in part is written word by word."""
    parts = (list(same) for _, same in groupby(phrases, key=lambda phrase: id(phrase.source)))
    return phrases[0].space.join(
        written(same[0].source, _words(same), same[0].space) for same in parts
    )


def _confidence(phrases: Sequence[Phrase]) -> float:
    if all(phrase.words for phrase in phrases):
        return fmean(word.confidence for word in _words(phrases))
    lengths = [max(phrase.end - phrase.start, 0.0) for phrase in phrases]
    weights = lengths if any(lengths) else None
    mean = fmean((phrase.source.confidence for phrase in phrases), weights)
    return min(max(mean, 0.0), 1.0)


def _mean_log_probability(phrases: Sequence[Phrase]) -> float | None:
    measured = [
        (phrase.source.mean_log_probability, phrase.length)
        for phrase in phrases
        if phrase.source.mean_log_probability is not None
    ]
    if not measured:
        return None
    return fmean((mean for mean, _ in measured), [length for _, length in measured])
