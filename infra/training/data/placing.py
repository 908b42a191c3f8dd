"""Places utterances in a training window: pauses, starts, ends and cuts.

Times of a window are frames, 100 a second, from the window's start.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from infra.training.data.utterances import FRAMES, Mel, Pool, Utterance, Word

FULL = 3_000
"""Frames of a whole window: 30 s."""
SHORTEST = 20


@dataclass(frozen=True)
class Style:
    """A kind of training window."""

    full: bool = False
    """From position 0 of the 30 s, else a short slice that may stand anywhere in them."""
    utterances: int | None = None
    """None: as many as fit."""
    timestamps: bool = True
    prompt: bool = False
    """Whether earlier text goes before the transcript."""
    packed: bool = False
    """Speech close on speech, as an engine packs what voice activity detection leaves."""


@dataclass(frozen=True)
class Placed:
    """An utterance in a window, spoken `stretch` times as long as its own times say."""

    start: int
    utterance: Utterance
    mel: Mel
    stretch: float = 1.0
    is_cut: bool = False
    """The window ends before the utterance does."""

    @property
    def words(self) -> list[Word]:
        """The words in seconds of the window; none if their times are not known."""
        words = self.utterance.words
        return [Word(text, self.at(begin), self.at(end)) for text, begin, end in words]

    @property
    def end(self) -> float:
        """Where the speech ends, in seconds of the window."""
        words = self.utterance.words
        return self.at(words[-1].end if words else self.utterance.seconds)

    @property
    def stop(self) -> int:
        """The first frame after it."""
        return self.start + len(self.mel)

    def at(self, seconds: float) -> float:
        """Seconds of the utterance in seconds of the window."""
        return self.start / FRAMES + seconds * self.stretch


@dataclass(frozen=True)
class Window:
    """Utterances in order in so many frames, an even number; the engine pads what lies behind."""

    placed: tuple[Placed, ...] = field(default=())
    frames: int = FULL


def place(rng: random.Random, pool: Pool, style: Style, *, vary: bool = True) -> Window:
    """Draw a window's utterances and set each where it may begin."""
    ends_early = style.utterances is None and rng.random() < (0.5 if style.timestamps else 0.35)
    stop = rng.randint(10, 2800) if ends_early else FULL
    placed = tuple(_placed(rng, pool, style, stop, vary=vary))
    is_filled = style.full and style.utterances is None and not ends_early
    if is_filled and (style.timestamps or rng.random() < 0.3):
        return Window(placed, FULL)
    last = placed[-1].stop if placed else rng.randint(SHORTEST, FULL)
    frames = min(FULL, max(SHORTEST, last + _tail(rng)))
    return Window(placed, frames + frames % 2)


def _placed(
    rng: random.Random, pool: Pool, style: Style, stop: int, *, vary: bool
) -> Iterator[Placed]:
    at, is_sparse = _first(rng, style), style.full and rng.random() < 0.2
    may_cut = style.full and (style.timestamps or rng.random() < 0.25)
    left = style.utterances if style.utterances is not None else FULL
    while at < stop and left > 0:
        left -= 1
        utterance = pool.draw(rng)
        mel, stretch = varied(rng, utterance.mel) if vary else (_single(utterance.mel), 1.0)
        is_over = at + len(mel) > FULL
        # Without timestamps the words before the edge are written: their times must be known.
        if is_over and not (may_cut and (style.timestamps or utterance.words)):
            return
        yield Placed(at, utterance, mel, stretch, is_over)
        at += len(mel) + _pause(rng, style, is_sparse=is_sparse)


def _first(rng: random.Random, style: Style) -> int:
    if style.packed:
        return rng.randint(0, 30)
    is_late = style.full and rng.random() < 0.25
    return int(FRAMES * (rng.uniform(0.7, 15) if is_late else rng.uniform(0, 0.7)))


def _pause(rng: random.Random, style: Style, *, is_sparse: bool) -> int:
    if style.packed:
        return rng.randint(10, 30)
    if rng.random() < (0.6 if is_sparse else 0.95):
        return int(FRAMES * rng.uniform(0.12, 0.9))
    return int(FRAMES * rng.uniform(0.9, 8 if is_sparse else 3.5))


def _tail(rng: random.Random) -> int:
    return int(FRAMES * (rng.uniform(0, 0.7) if rng.random() < 0.85 else rng.uniform(0.7, 3)))


def varied(rng: random.Random, mel: Mel) -> tuple[Mel, float]:
    """Vary tempo, vocal tract and level at random. Returns also the factor of the length."""
    frames = len(mel)
    mel = _single(mel)
    if rng.random() < 0.5:
        mel = stretched(mel, max(8, int(frames * rng.uniform(0.88, 1.13))))
    if rng.random() < 0.5:
        mel = shifted_bands(mel, rng.uniform(-3, 3))
    return mel + rng.uniform(-0.3, 0.3), len(mel) / frames


def stretched(mel: Mel, frames: int) -> Mel:
    """The same speech in so many frames, interpolated."""
    at = np.linspace(0, len(mel) - 1, frames)
    low = at.astype(int).clip(0, len(mel) - 2)
    part = (at - low)[:, None].astype(np.float32)
    return np.asarray(mel[low] * (1 - part) + mel[low + 1] * part)


def shifted_bands(mel: Mel, by: float) -> Mel:
    """Imitate a longer or shorter vocal tract: shift the middle bands, keep the edges."""
    last = mel.shape[1] - 1
    bands = np.arange(last + 1)
    at = np.clip(bands + by * np.sin(np.pi * bands / last), 0, last - 0.001)
    low = at.astype(int)
    part = (at - low).astype(np.float32)
    return np.asarray(mel[:, low] * (1 - part) + mel[:, low + 1] * part)


def _single(mel: Mel) -> Mel:
    return np.asarray(mel, dtype=np.float32)
