"""Scores of a model: word errors, errors of times, and words in silence."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import jiwer
import numpy as np

from infra.evaluation.word_errors import normalised_words
from infra.training.exam.held_out_sets import SpokenSentence
from infra.training.speech.grammar import is_sentence

Kind: TypeAlias = Literal["sentence", "salad"]
NEAR = 0.3
"""Seconds: a segment further than this from all speech is invented."""


class TimedWord(Protocol):
    """A word as faster-whisper gives it; seconds."""

    @property
    def word(self) -> str: ...
    @property
    def start(self) -> float: ...


class Segment(Protocol):
    """A segment as faster-whisper gives it; seconds."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def text(self) -> str: ...
    @property
    def words(self) -> Sequence[TimedWord] | None: ...


def words_of(text: str) -> list[str]:
    """The words, as `pocwhisp evaluate` counts them."""
    return normalised_words(text).split()


@dataclass
class Score:
    """Grows with every channel that is added. Differences of times are absolute, in seconds."""

    words: dict[Kind, int] = field(default_factory=lambda: {"sentence": 0, "salad": 0})
    errors: dict[Kind, int] = field(default_factory=lambda: {"sentence": 0, "salad": 0})
    starts: list[float] = field(default_factory=list)
    word_starts: list[float] = field(default_factory=list)
    invented: int = 0
    """Words where nobody speaks."""
    audio: float = 0.0
    clock: float = 0.0
    """Seconds of sound, and seconds that hearing it took."""

    def add(self, said: Sequence[SpokenSentence], heard: Sequence[Segment]) -> None:
        """Add the comparison of the spoken sentences of a channel with the recognised words."""
        if said:
            self._count_errors(said, heard)
        for segment in heard:
            if any(s.start - NEAR <= segment.end and segment.start <= s.end + NEAR for s in said):
                self._measure(said, segment)
            else:
                self.invented += len(words_of(segment.text))

    def _count_errors(self, said: Sequence[SpokenSentence], heard: Sequence[Segment]) -> None:
        kinds: list[Kind] = []
        for one in said:
            kind: Kind = "sentence" if is_sentence(one.text) else "salad"
            kinds += [kind] * len(words_of(one.text))
            self.words[kind] += len(words_of(one.text))
        truth = " ".join(word for one in said for word in words_of(one.text))
        found = " ".join(word for one in heard for word in words_of(one.text))
        for chunk in jiwer.process_words(truth, found or "-").alignments[0]:
            if chunk.type == "insert":
                kind = kinds[min(chunk.ref_start_idx, len(kinds) - 1)]
                self.errors[kind] += chunk.hyp_end_idx - chunk.hyp_start_idx
            elif chunk.type != "equal":
                for kind in kinds[chunk.ref_start_idx : chunk.ref_end_idx]:
                    self.errors[kind] += 1

    def _measure(self, said: Sequence[SpokenSentence], segment: Segment) -> None:
        self.starts.append(min(abs(segment.start - one.start) for one in said))
        for word in segment.words or ():
            same = [
                abs(word.start - true.start)
                for one in said
                for true in one.words
                if words_of(true.text) == words_of(word.word)
            ]
            self.word_starts += [off for off in (min(same, default=1.0),) if off < 1.0]

    def cells(self) -> list[str]:
        """As a row of a table."""
        rates = [
            f"{self.errors[kind] / self.words[kind]:.1%}" if self.words[kind] else "-"
            for kind in self.words
        ]
        return [*rates, _spread(self.starts), _spread(self.word_starts), str(self.invented)]


HEADINGS = ("WER sentences", "WER salad", "segment starts", "word starts", "invented")


def _spread(seconds: Sequence[float]) -> str:
    """Median and 90th percentile."""
    if not seconds:
        return "-"
    return f"{np.median(seconds):.2f} / {np.percentile(seconds, 90):.2f}"
