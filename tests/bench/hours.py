"""Hours of talk, made from the turns of the sample calls, with the truth about them.

Two parties take turns, and at times one begins before the other ends. A turn is a few talk spurts
of 0.3 to 5 s with short pauses between, as in real calls. The same seed makes the same hour.
"""

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from functions.transcribe.recognizer import Samples
from infra.evaluation.truth import load_truth
from shared.audio.pcm import SAMPLE_RATE

CALLS = Path(__file__).parents[1] / "calls"
NAMES = ("support", "unseen", "nano")
SIDES = ("left", "right")
FULL_SCALE = 32_768
AUDIBLE = 100
"""Amplitude, about -50 dBFS, that the silence between two spurts stays below."""
BREAK = 0.08
"""Seconds of silence that part two spurts of a turn in the sample calls."""
PAUSE = 0.45
"""Median pause inside a turn, in seconds; two in three lie between 0.27 and 0.75."""
SPREAD = 0.5
TURN = 4.0
"""Mean seconds after which a turn ends with the next spurt."""
TILE = 60
"""Seconds of noise, repeated as long as the hour lasts."""


@dataclass(frozen=True, slots=True, eq=False)
class Hour:
    """Stereo samples (int16, shape (n, 2), 16 kHz) and what is said in them.

    `spoken`: for each side the talk spurts, first and last + 1 sample.
    """

    samples: NDArray[np.int16]
    spoken: tuple[list[tuple[int, int]], list[tuple[int, int]]]

    def speech(self, side: int) -> float:
        """Seconds in which this side talks."""
        return sum(end - start for start, end in self.spoken[side]) / SAMPLE_RATE


def hour(seconds: float, activity: float, seed: int, *, noise_dbfs: float | None = -70) -> Hour:
    """A call in which each side talks for the part `activity` of the time, at most 0.6.

    White noise of that level (RMS) lies over both channels; None: digital silence between turns.
    """
    if not 0 < activity <= 0.6:
        raise ValueError("each side talks for a part of the time, at most 0.6")
    rng = np.random.default_rng(seed)
    samples = _noise(round(seconds * SAMPLE_RATE), noise_dbfs, rng)
    spoken: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for side, places in enumerate(spoken):
        for start, spurt in _talk(SIDES[side], side * TURN / activity / 2, activity, rng):
            end = min(start + len(spurt), len(samples))
            if start >= end:
                break
            mixed = samples[start:end, side].astype(np.int32) + spurt[: end - start]
            samples[start:end, side] = mixed.clip(-FULL_SCALE, FULL_SCALE - 1)
            places.append((start, end))
    return Hour(samples, spoken)


def _talk(
    side: str, begin: float, activity: float, rng: np.random.Generator
) -> Iterator[tuple[int, Samples]]:
    """Place and samples of each spurt of a side, for ever; it is silent until `begin` (seconds).

    A turn begins when the side has talked for less of the time than it should.
    """
    known = _spurts(side)
    at, talked = 0, 0
    while True:
        due = begin * SAMPLE_RATE + talked / activity * rng.uniform(0.98, 1.02)
        at = max(at, round(due))
        until = at + rng.exponential(TURN) * SAMPLE_RATE
        while at < until:
            spurt = known[int(rng.integers(len(known)))]
            yield at, spurt
            talked += len(spurt)
            at += len(spurt) + round(rng.lognormal(np.log(PAUSE), SPREAD) * SAMPLE_RATE)


def _noise(length: int, level: float | None, rng: np.random.Generator) -> NDArray[np.int16]:
    if level is None:
        return np.zeros((length, 2), np.int16)
    drawn = rng.normal(0, FULL_SCALE * 10 ** (level / 20), (min(length, TILE * SAMPLE_RATE), 2))
    times = -(-length // max(len(drawn), 1))
    return np.tile(np.rint(drawn).astype(np.int16), (times, 1))[:length]


def _spurts(side: str) -> list[Samples]:
    """All that a voice says in the sample calls, parted at its pauses."""
    turns = [turn for name in NAMES for turn in _turns(name, side)]
    return [turn[spurt] for turn in turns for spurt in spurts(turn)]


def _turns(name: str, side: str) -> Iterator[Samples]:
    with wave.open(str(CALLS / f"{name}.wav")) as file:
        call = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    for turn in load_truth(CALLS / f"{name}.truth.json").turns:
        if turn.speaker == side:
            first, last = (round(at * SAMPLE_RATE) for at in (turn.start_time, turn.end_time))
            yield call[first:last, SIDES.index(side)]


def spurts(turn: Samples) -> Iterator[slice]:
    """Where a turn of a sample call is speech: all but its pauses."""
    loud = np.flatnonzero(np.abs(turn.astype(np.int32)) >= AUDIBLE)
    cuts = np.flatnonzero(np.diff(loud) >= BREAK * SAMPLE_RATE) + 1
    for part in np.split(loud, cuts):
        yield slice(int(part[0]), int(part[-1]) + 1)
