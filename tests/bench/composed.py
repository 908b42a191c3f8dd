"""Calls composed of the nano call's turns in another order, with the truth about them."""

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from events.base import Channel
from functions.transcribe.recognizer import Samples
from infra.evaluation.truth import Truth, Turn, load_truth
from infra.evaluation.word_errors import CHANNELS
from shared.audio.pcm import SAMPLE_RATE
from tests.support.recognizers import NANO_CALL, channel

PAUSE = 0.3, 1.5
"""Seconds between two turns, at least and at most: each side talks for about 39 % of the time."""


def composed(seconds: float, seed: int) -> tuple[NDArray[np.int16], Truth]:
    """Stereo samples (int16, shape (n, 2), 16 kHz): both sides take turns, in a mixed order."""
    rng = np.random.default_rng(seed)
    samples = np.zeros((round(seconds * SAMPLE_RATE), 2), np.int16)
    sides = [_spoken(speaker, rng) for speaker in CHANNELS]
    turns: list[Turn] = []
    at, side = 0.5, 0
    while True:
        spoken, text = next(sides[side])
        end = at + len(spoken) / SAMPLE_RATE
        if end > seconds:
            return samples, Truth(duration=seconds, turns=tuple(turns))
        first = round(at * SAMPLE_RATE)
        samples[first : first + len(spoken), side] = spoken
        turns.append(Turn(speaker=CHANNELS[side], start_time=at, end_time=end, text=text))
        at, side = end + rng.uniform(*PAUSE), 1 - side


def _spoken(speaker: Channel, rng: np.random.Generator) -> Iterator[tuple[Samples, str]]:
    """Turns of one side for ever, each as often as the others.

    Either half of them is mixed by itself: a sentence comes again after half of the others at the
    soonest, as Whisper rightly doubts a text that repeats itself.
    """
    call = load_truth(NANO_CALL.with_suffix(".truth.json"))
    samples = channel(NANO_CALL, CHANNELS.index(speaker))
    turns = [turn for turn in call.turns if turn.speaker == speaker]
    while True:
        middle = len(turns) // 2
        turns = [*_mixed(turns[:middle], rng), *_mixed(turns[middle:], rng)]
        for turn in turns:
            first, last = (round(at * SAMPLE_RATE) for at in (turn.start_time, turn.end_time))
            yield samples[first:last], turn.text


def _mixed(turns: list[Turn], rng: np.random.Generator) -> list[Turn]:
    return [turns[place] for place in rng.permutation(len(turns))]


def written(path: Path, samples: NDArray[np.int16], rate: int = SAMPLE_RATE) -> Path:
    """The samples (shape (n,) or (n, channels)) as a WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path
