"""Training examples: a window with its tokens, their targets, and the frames of each token."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infra.training.data.degrading import render
from infra.training.data.placing import Placed, Style, Window, place
from infra.training.data.utterances import Mel, Pool, Utterance, Word
from infra.training.speech import grammar
from infra.training.speech.vocabulary import TIMESTAMPS, Vocabulary

Labels: TypeAlias = NDArray[np.int64]
LAST = TIMESTAMPS - 1
IGNORE = -100
"""A target that is not scored."""
STEPS = 50
"""Frames of the encoder, and of timestamps, a second."""
PROMPT = 223
"""Tokens of earlier text that Whisper takes."""
FIRST_STAMP = 1.0
"""faster-whisper allows no later first timestamp, in seconds."""
PAUSE = "_"


class Guide(NamedTuple):
    """The encoder's frames first ≤ i < last in which a token is spoken."""

    first: int
    last: int
    is_even: bool = False
    """Attention shall cover them evenly, not lie anywhere in them."""


class Step(NamedTuple):
    """A token of the transcript; `is_scored` is False if no model could predict it."""

    token: int
    guide: Guide | None = None
    is_scored: bool = True


@dataclass(frozen=True)
class Example:
    """One window of training. `offset`: of the 1,500 encoder frames, the one it begins at.

    `now` says where the word of each input token is, `ahead` where that of each target is.
    `phones` and `words` label the encoder's frames; `padding` is the level behind the end.
    """

    mel: Mel
    padding: float
    offset: int
    tokens: list[int]
    targets: list[int]
    now: list[Guide | None]
    ahead: list[Guide | None]
    phones: Labels
    words: Labels


@dataclass(frozen=True)
class Sounds:
    """Numbers for the phones and words that frames are labelled with; 0 is a pause."""

    phones: Mapping[str, int]
    words: Mapping[str, int]

    @classmethod
    def of(cls, utterances: Iterable[Utterance]) -> "Sounds":
        """Number the phones and words of the utterances in alphabetical order."""
        phones, words = {PAUSE}, set()
        for one in utterances:
            phones |= {phone_name(phone.name) for phone in one.phones}
            words |= {grammar.bare(word.text) for word in one.words}
        return cls(
            {PAUSE: 0} | {p: n for n, p in enumerate(sorted(phones - {PAUSE}), start=1)},
            {word: number for number, word in enumerate(sorted(words), start=1)},
        )


def phone_name(name: str) -> str:
    """espeak-ng's name without its variants, all pauses the same."""
    return PAUSE if name.startswith(PAUSE) else name.rstrip("#2")


class Composer:
    """Makes examples for one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, sounds: Sounds, texts: Iterable[str]) -> None:
        self.vocabulary, self._sounds = vocabulary, sounds
        words = {word for text in texts for word in text.split()}
        self._first_tokens = sorted({vocabulary.encode(word)[0] for word in words})

    def example(
        self, rng: random.Random, pool: Pool, style: Style, *, augment: bool = True
    ) -> Example:
        """One window of this style; with `augment`, degraded and with wrong tokens before."""
        window = place(rng, pool, style, vary=augment)
        mel, silence = render(rng, window, pool.bands, degrade=augment)
        offset = 0 if style.full else rng.randint(0, LAST - window.frames // 2)
        transcript = Transcript(rng, self.vocabulary, window, offset, style)
        before = self._prompt(rng, pool, timestamps=style.timestamps) if style.prompt else []
        tokens, targets, guides = self._sequence(before, transcript, style)
        return Example(
            mel,
            silence,
            offset,
            self._with_mistakes(rng, tokens[:-1], len(before)) if augment else tokens[:-1],
            targets,
            guides[:-1],
            guides[1:],
            *frame_labels(window, self._sounds),
        )

    def _sequence(
        self, before: list[int], transcript: "Transcript", style: Style
    ) -> tuple[list[int], list[int], list[Guide | None]]:
        """All tokens, a target for each but the last, a guide for each."""
        vocabulary, steps = self.vocabulary, transcript.steps()
        mode = [] if style.timestamps else [vocabulary.no_timestamps]
        head = [*before, *vocabulary.head, *mode]
        tokens = [*head, *(step.token for step in steps), vocabulary.end]
        targets = [IGNORE] * len(before) + tokens[len(before) + 1 :]
        if transcript.is_silent:
            targets[len(before)] = vocabulary.no_speech
        for number, step in enumerate(steps):
            if not step.is_scored:
                targets[len(head) + number - 1] = IGNORE
        return tokens, targets, [*[None] * len(head), *(step.guide for step in steps), None]

    def _prompt(self, rng: random.Random, pool: Pool, *, timestamps: bool) -> list[int]:
        """Earlier text as faster-whisper passes it."""
        tokens: list[int] = []
        at = rng.randint(0, 40)
        for _ in range(rng.randint(1, 26)):
            utterance = pool.draw(rng)
            end = at + int(utterance.seconds * STEPS)
            edges = [self.vocabulary.zero + min(edge, LAST) for edge in (at, end)]
            text = self.vocabulary.encode(utterance.text)
            tokens += [edges[0], *text, edges[1]] if timestamps else text
            at = end + rng.randint(5, 50)
        return [self.vocabulary.previous, *tokens[-PROMPT:]]

    def _with_mistakes(self, rng: random.Random, tokens: list[int], skip: int) -> list[int]:
        """In half of the windows a few words are wrong, so that the decoder has to listen."""
        if rng.random() < 0.5:
            return tokens
        return [
            rng.choice(self._first_tokens)
            if number > skip and token < self.vocabulary.end and rng.random() < 0.06
            else token
            for number, token in enumerate(tokens)
        ]


class Transcript:
    """The transcript that the model is to write of a window, token by token."""

    def __init__(
        self,
        rng: random.Random,
        vocabulary: Vocabulary,
        window: Window,
        offset: int,
        style: Style,
    ) -> None:
        self._rng, self._vocabulary, self._style = rng, vocabulary, style
        self._window, self._offset = window, offset

    @property
    def is_silent(self) -> bool:
        return not self._window.placed

    def steps(self) -> list[Step]:
        """The transcript, without what it begins and ends with."""
        if self.is_silent:
            stamp = self._stamp(self._rng.uniform(0, 0.2))
            return [Step(stamp)] if self._style.timestamps else []
        placed = self._window.placed
        follows = [*(part.start / 100 for part in placed[1:]), self._window.frames / 100]
        steps: list[Step] = []
        for number, (part, then) in enumerate(zip(placed, follows, strict=True)):
            steps += self._of(part, then, is_first=number == 0)
        return steps

    def _of(self, part: Placed, then: float, *, is_first: bool) -> list[Step]:
        if not self._style.timestamps:
            return self._text(part, then)
        start = self._start(part, is_first=is_first)
        if part.is_cut:
            return [start]
        end = min(part.end, self._window.frames / 100)
        return [start, *self._text(part, then), Step(self._stamp(end), _around(part, end, 3, 3))]

    def _start(self, part: Placed, *, is_first: bool) -> Step:
        start = part.start / 100
        is_late = is_first and self._style.full and start > FIRST_STAMP
        if is_late and self._rng.random() < 0.7:
            return Step(self._stamp(FIRST_STAMP), None, is_scored=False)
        return Step(self._stamp(start), _around(part, start, 2, 4))

    def _stamp(self, seconds: float) -> int:
        return self._vocabulary.zero + min(LAST, self._offset + round(seconds * STEPS))

    def _text(self, part: Placed, then: float) -> list[Step]:
        words = part.words
        if not words:
            return [Step(token) for token in self._vocabulary.encode(part.utterance.text)]
        if part.is_cut:
            words = [word for word in words if word.end <= self._window.frames / 100 + 0.05]
        begins = [*(word.start for word in words[1:]), then]
        return [
            step
            for word, begin in zip(words, begins, strict=False)
            for step in self._word(word, begin)
        ]

    def _word(self, word: Word, then: float) -> list[Step]:
        """Attention goes to the word; for punctuation evenly to the pause behind it."""
        first, last, following = (int(at * STEPS) for at in (word.start, word.end, then))
        has_pause = following - last >= 4
        behind = (
            Guide(last - 1, following - 1, is_even=True) if has_pause else Guide(last - 3, last + 5)
        )
        spoken = Guide(first - 1, last + 2)
        return [
            Step(token, behind if self._vocabulary.is_mark(token) else spoken)
            for token in self._vocabulary.encode(word.text)
        ]


def _around(part: Placed, seconds: float, before: int, after: int) -> Guide | None:
    """A timestamp is seen where it points to; attention is guided where words are known."""
    if not part.utterance.words:
        return None
    frame = int(seconds * STEPS)
    return Guide(frame - before, frame + after)


def frame_labels(window: Window, sounds: Sounds) -> tuple[Labels, Labels]:
    """Which phone and which word each frame of the encoder belongs to, IGNORE where unknown."""
    phones, words = (np.zeros(window.frames // 2, np.int64) for _ in range(2))
    for part in window.placed:
        span = slice(part.start // 2, part.stop // 2)
        if not part.utterance.words:
            words[span] = IGNORE
        for text, begin, end in part.words:
            number = sounds.words.get(grammar.bare(text), IGNORE)
            words[int(begin * STEPS) : int(end * STEPS)] = number
        if not part.utterance.phones:
            phones[span] = IGNORE
        _label_phones(phones, part, sounds)
    return phones, words


def _label_phones(labels: Labels, part: Placed, sounds: Sounds) -> None:
    spoken = part.utterance.phones
    ends = [*(part.at(phone.start) for phone in spoken[1:]), part.end]
    for phone, end in zip(spoken, ends, strict=False):
        begin = int(part.at(phone.start) * STEPS)
        number = sounds.phones.get(phone_name(phone.name), 0)
        labels[begin : max(begin + 1, int(end * STEPS))] = number
