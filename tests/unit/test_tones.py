"""What `is_tone` promises, on made-up tones and on the speech of the sample calls."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from functions.transcribe.recognizer import Samples
from functions.transcribe.sphinx.tones import is_tone
from functions.transcribe.sphinx.utterances import UtteranceCutter
from shared.audio.pcm import SAMPLE_RATE
from tests.support.recognizers import ROOT, channel, two_voices

CALLS = "nano", "support", "unseen"
FULL_SCALE = 32_768
Sound = NDArray[np.float64]


def apart(hertz: list[float]) -> bool:
    """Whether the detector can tell the tones apart; closer ones beat, which is no steady tone."""
    return all(higher - lower >= 32 for lower, higher in pairwise(sorted(hertz)))


levels = st.floats(-40, -10)
seeds = st.integers(0, 2**32 - 1)
pitches = st.lists(st.floats(200, 2_000), min_size=1, max_size=4).filter(apart)


@cache
def spoken() -> tuple[Samples, ...]:
    """Every utterance of the sample calls and of the two voices."""
    calls = [channel(ROOT / "calls" / f"{call}.wav", n) for call in CALLS for n in (0, 1)]
    return tuple(found for samples in (*calls, two_voices().samples) for found in cut(samples))


def cut(samples: Samples) -> list[Samples]:
    cutter = UtteranceCutter()
    return [found.samples for found in (*cutter.push(samples), *cutter.flush())]


def at(sound: Sound, level: float) -> Samples:
    """The sound at this level (RMS) in dBFS."""
    loud = sound * FULL_SCALE * 10 ** (level / 20) / np.sqrt((sound**2).mean())
    clipped: Samples = np.rint(loud).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return clipped


def tone(seconds: float, *hertz: float) -> Sound:
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound: Sound = np.sum([np.sin(2 * np.pi * one * times) for one in hertz], axis=0)
    return sound


def struck(seconds: float, note: float) -> Sound:
    """A tone with six harmonics that dies away."""
    sound = np.sum([tone(seconds, note * n) / n for n in range(1, 7)], axis=0)
    decayed: Sound = sound * np.exp(-np.arange(len(sound)) / SAMPLE_RATE)
    return decayed


def noisy(samples: Samples, decibels: float, seed: int = 0) -> Sound:
    """With white noise that is so much quieter."""
    drawn = np.random.default_rng(seed).normal(size=len(samples))
    level = np.sqrt((samples.astype(np.float64) ** 2).mean())
    mixed: Sound = samples + drawn * level * 10 ** (-decibels / 20)
    return mixed


def telephone(samples: Samples) -> Sound:
    """300 to 3,400 Hz of it."""
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * ((hertz > 300) & (hertz < 3_400)), len(samples))


@given(pitches, st.floats(0.5, 5), levels)
def test_steady_tones_are_tones(hertz: list[float], seconds: float, level: float) -> None:
    assert is_tone(at(tone(seconds, *hertz), level))


@given(st.lists(st.floats(150, 600), min_size=1, max_size=8), st.floats(0.5, 2), levels, seeds)
def test_notes_that_die_away_are_tones(
    notes: list[float], beat: float, level: float, seed: int
) -> None:
    sound = np.concatenate([struck(beat, note) for note in notes])
    assert is_tone(noisy(at(sound, level), 25, seed).astype(np.int16))


def test_chords_over_drums_are_tones() -> None:
    chords = [(262, 330, 392), (220, 262, 330), (175, 220, 262)]
    sound = np.concatenate([sum(struck(2, note) for note in chord) for chord in chords])
    since = np.arange(len(sound)) / SAMPLE_RATE % 0.5
    beats = np.random.default_rng(0).normal(size=len(sound)) * np.exp(-20 * since)
    assert is_tone(at(sound + beats, -20))


def test_a_busy_line_is_tones() -> None:
    beep = np.concatenate((np.zeros(4_000), tone(0.5, 480, 620), np.zeros(4_000)))
    assert is_tone(at(np.tile(beep, 5), -20))


@pytest.mark.parametrize("level", [0, -20, -35])
def test_speech_at_no_level_is_tones(level: float) -> None:
    factor = 10 ** (level / 20)
    assert not any(is_tone((samples * factor).astype(np.int16)) for samples in spoken())


def test_speech_on_the_telephone_is_no_tones() -> None:
    assert not any(is_tone(at(telephone(samples), -25)) for samples in spoken())


@pytest.mark.parametrize("decibels", [20, 10])
def test_speech_in_noise_is_no_tones(decibels: float) -> None:
    assert not any(is_tone(at(noisy(samples, decibels), -25)) for samples in spoken())


def test_speech_right_after_a_tone_is_kept() -> None:
    hello = spoken()[0]
    ring = at(tone(2, 440, 480), -20)
    assert not is_tone(np.concatenate((ring, at(hello.astype(np.float64), -20))))


@given(st.floats(0, 5), levels, seeds)
def test_noise_is_no_tone(seconds: float, level: float, seed: int) -> None:
    drawn = np.random.default_rng(seed).normal(size=round(seconds * SAMPLE_RATE) + 1)
    assert not is_tone(at(drawn, level))


@pytest.mark.parametrize("length", [0, 1, 1_024, 5_000])
def test_what_is_too_short_to_be_held_is_no_tone(length: int) -> None:
    assert not is_tone(np.full(length, 1_000, np.int16))


@pytest.mark.parametrize(("level", "held"), [(0, False), (1_000, True)])
def test_silence_is_no_tone_and_a_constant_is_one(level: int, held: bool) -> None:  # noqa: FBT001
    assert is_tone(np.full(2 * SAMPLE_RATE, level, np.int16)) is held
