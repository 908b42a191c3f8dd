"""The batches of a training: which windows come when, and how they are padded and stacked."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infra.training.data.examples import IGNORE, LAST, Composer, Example, Guide, Labels
from infra.training.data.placing import FULL, Style
from infra.training.data.utterances import Pool
from infra.training.speech.vocabulary import Vocabulary

SHORT, FULL_ONES, BUCKETS = 4, 3, 10
"""Short windows in a batch, full ones in a batch, batches of short ones drawn at a time."""
FULL_SHARE = 0.6
"""The share of batches with full windows when a model has learned what short ones teach."""
LONGEST, LONGEST_SILENCE = 2900, 800
"""Frames that a short window may have."""


@dataclass(frozen=True)
class Batch:
    """Examples of one step, padded to the same length.

    Guides are rows of (example, position, first frame, frame after the last).
    """

    mel: NDArray[np.float32]
    offset: Labels
    tokens: Labels
    targets: Labels
    phones: Labels
    words: Labels
    now: Labels
    ahead: Labels
    even: Labels


def style(rng: random.Random, *, full: bool) -> Style:
    """A kind of window, each as often as it helps."""
    kind = rng.random()
    if kind < (0.05 if full else 0.03):
        return Style(full=full, utterances=0, timestamps=rng.random() < 0.6)
    if not full:
        few, timestamps = rng.choice((1, 2, 2, 3, 3, 4)), rng.random() < 0.65
        return Style(utterances=few, timestamps=timestamps, prompt=rng.random() < 0.3)
    if kind > 0.6:
        count, timestamps = rng.choice((None, None, rng.randint(2, 8))), rng.random() < 0.65
        return Style(full=True, utterances=count, timestamps=timestamps, packed=True)
    timestamps = rng.random() < 0.6
    prompt = rng.random() < (0.5 if timestamps else 0.08)
    if kind < 0.22:
        few, prompt = rng.choice((1, 1, 2, 3)), prompt and rng.random() < 0.5
        return Style(full=True, utterances=few, timestamps=timestamps, prompt=prompt)
    return Style(full=True, timestamps=timestamps, prompt=prompt)


def draw(rng: random.Random, composer: Composer, pool: Pool, *, full: bool) -> Example:
    """A window to train on, its end padded with either of the two paddings of engines."""
    while True:
        chosen = style(rng, full=full)
        example = composer.example(rng, pool, chosen)
        longest = LONGEST_SILENCE if chosen.utterances == 0 else LONGEST
        if not full and len(example.mel) > longest:
            continue
        # Some engines pad the spectrogram with zeros, others the sound with silence.
        if rng.random() < 0.5:
            example = replace(example, padding=0.0)
        is_short = not full and len(example.mel) < 900
        return padded(rng, example) if is_short and rng.random() < 0.15 else example


def padded(rng: random.Random, example: Example) -> Example:
    """Return the frames of a clip with 0.5 to 7 s of the engine's padding behind it."""
    more = rng.randint(25, 350)
    if example.offset + len(example.phones) + more > LAST:
        return example
    return replace(
        example,
        mel=np.pad(example.mel, ((0, 2 * more), (0, 0)), constant_values=example.padding),
        phones=np.pad(example.phones, (0, more)),
        words=np.pad(example.words, (0, more)),
    )


class Batches:
    """A stream of batches; all workers take the same kind at a time, each its own windows.

    Short windows are sorted by length, so that little is padded. `full_share` is the share of
    batches with full windows by the progress of the training, from 0 to 1.
    """

    def __init__(
        self,
        composer: Composer,
        pool: Pool,
        *,
        worker: int = 0,
        full_share: Callable[[float], float],
    ) -> None:
        self._composer, self._pool, self._full_share = composer, pool, full_share
        self._rng, self._shared = random.Random(1000 + worker), random.Random(7)
        self._ready: list[Batch] = []

    def next(self, progress: float) -> Batch:
        if self._shared.random() < self._full_share(progress):
            examples = [self._draw(full=True) for _ in range(FULL_ONES)]
            return stacked(examples, self._composer.vocabulary, FULL)
        if not self._ready:
            self._ready = list(self._buckets())
            self._shared.shuffle(self._ready)
        return self._ready.pop()

    def _buckets(self) -> Iterator[Batch]:
        examples = [self._draw(full=False) for _ in range(SHORT * BUCKETS)]
        examples.sort(key=lambda example: len(example.mel))
        for at in range(0, len(examples), SHORT):
            yield stacked(examples[at : at + SHORT], self._composer.vocabulary)

    def _draw(self, *, full: bool) -> Example:
        return draw(self._rng, self._composer, self._pool, full=full)


def full_late(progress: float) -> float:
    """Return the share of full windows for a training from nothing: few at first, more later."""
    return 0.0 if progress < 0.2 else 0.3 if progress < 0.5 else FULL_SHARE


def stacked(
    examples: Sequence[Example], vocabulary: Vocabulary, frames: int | None = None
) -> Batch:
    """Pad to `frames`, or to the longest.

    A window that would leave the 30 s by its padding moves forward, and its timestamps with it.
    """
    zero, end = vocabulary.zero, vocabulary.end
    frames = frames or max(len(example.mel) for example in examples)
    examples = [moved(e, min(e.offset, LAST - frames // 2), zero) for e in examples]
    mel = np.stack([_filled(e.mel, frames, e.padding) for e in examples])
    length = max(len(example.tokens) for example in examples)
    return Batch(
        np.ascontiguousarray(mel.transpose(0, 2, 1)),
        np.array([example.offset for example in examples]),
        np.stack([_row(example.tokens, length, end) for example in examples]),
        np.stack([_row(example.targets, length, IGNORE) for example in examples]),
        np.stack([_row(example.phones, frames // 2, 0) for example in examples]),
        np.stack([_row(example.words, frames // 2, 0) for example in examples]),
        _guides([example.now for example in examples], frames // 2, (False, True)),
        _guides([example.ahead for example in examples], frames // 2, (False,)),
        _guides([example.ahead for example in examples], frames // 2, (True,)),
    )


def moved(example: Example, offset: int, zero: int) -> Example:
    """The example at another place in the 30 s: timestamps behind the prompt move along."""
    by = offset - example.offset
    if by == 0:
        return example
    prompt = next(n for n, target in enumerate(example.targets) if target != IGNORE)

    def shifted(tokens: Sequence[int]) -> list[int]:
        return [
            min(max(token + by, zero), zero + LAST) if token >= zero and number >= prompt else token
            for number, token in enumerate(tokens)
        ]

    return replace(
        example,
        offset=offset,
        tokens=shifted(example.tokens),
        targets=shifted(example.targets),
    )


def _filled(mel: NDArray[np.floating], frames: int, level: float) -> NDArray[np.float32]:
    filled = np.full((frames, mel.shape[1]), level, np.float32)
    filled[: len(mel)] = mel
    return filled


def _row(numbers: Sequence[int] | Labels, length: int, padding: int) -> Labels:
    row = np.full(length, padding, np.int64)
    row[: len(numbers)] = numbers
    return row


def _guides(
    examples: Sequence[Sequence[Guide | None]], frames: int, kinds: Sequence[bool]
) -> Labels:
    found = [
        (row, position, max(0, guide.first), min(frames, guide.last))
        for row, guides in enumerate(examples)
        for position, guide in enumerate(guides)
        if guide and guide.is_even in kinds
    ]
    spans = [span for span in found if span[3] > span[2]]
    return np.array(spans, np.int64).reshape(-1, 4)
