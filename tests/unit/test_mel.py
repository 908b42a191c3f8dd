"""The spectrogram is faster-whisper's, and its padding is what silence looks like."""

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from functions.transcribe.recognizer import Samples
from functions.transcribe.whisper.mel import FRAMES, HOP, LENGTH, Spectrogram
from shared.audio.pcm import PCM16_FULL_SCALE, SAMPLE_RATE

WINDOW = 30 * SAMPLE_RATE
EXTRACTORS = {bands: FeatureExtractor(feature_size=bands) for bands in (80, 128)}
FLOOR = -1.5
"""What no sound at all becomes."""


def spoken(length: int, seed: int = 0) -> Samples:
    """Noise that grows and fades, loudest in the middle."""
    loudness = 6_000 * np.sin(np.linspace(0, np.pi, length)) ** 2 + 20
    return np.random.default_rng(seed).normal(0, loudness).clip(-32_768, 32_767).astype(np.int16)


def theirs(samples: Samples, bands: int = 80) -> NDArray[np.float32]:
    mel: NDArray[np.float32] = EXTRACTORS[bands](samples.astype(np.float32) / PCM16_FULL_SCALE)
    return mel[:, :FRAMES]


def ours(samples: Samples, bands: int = 80) -> NDArray[np.float32]:
    return Spectrogram(EXTRACTORS[bands].mel_filters)(samples)


@pytest.mark.parametrize("bands", EXTRACTORS)
@pytest.mark.parametrize("length", [LENGTH, 5_000, 100_001, WINDOW - 1, WINDOW])
def test_sound_becomes_what_faster_whisper_makes_of_it(length: int, bands: int) -> None:
    samples = spoken(length)
    frames = length // HOP
    zero = Spectrogram(EXTRACTORS[bands].mel_filters, "zero")(samples)
    assert zero.shape == (bands, FRAMES)
    assert zero.dtype == np.float32
    np.testing.assert_allclose(zero[:, :frames], theirs(samples, bands)[:, :frames], atol=1e-5)
    assert not zero[:, frames:].any()


@pytest.mark.parametrize("bands", EXTRACTORS)
@pytest.mark.parametrize("length", [LENGTH, 5_000, 100_001, WINDOW - 300, WINDOW])
def test_padding_is_what_30_s_that_end_in_silence_give(length: int, bands: int) -> None:
    samples = spoken(length)
    whole = np.pad(samples, (0, WINDOW - length))
    np.testing.assert_allclose(ours(samples, bands), theirs(whole, bands), atol=1e-5)


@given(st.integers(0, 3 * LENGTH), st.integers(0, 9))
def test_the_shortest_sound_has_a_spectrogram_too(length: int, seed: int) -> None:
    samples = spoken(length, seed)
    whole = np.pad(samples, (0, WINDOW - length))
    np.testing.assert_allclose(ours(samples), theirs(whole), atol=1e-5)


@pytest.mark.parametrize("length", [0, 1, 159, 160, 400, WINDOW])
def test_digital_silence_is_the_floor_everywhere(length: int) -> None:
    np.testing.assert_allclose(ours(np.zeros(length, np.int16)), FLOOR, atol=1e-5)


def test_the_faintest_is_80_db_below_the_loudest() -> None:
    mel = ours(spoken(WINDOW))
    assert mel.min() == pytest.approx(mel.max() - 2)


def test_what_is_beyond_30_s_is_not_heard() -> None:
    samples = spoken(2 * WINDOW)
    assert ours(samples).shape == (80, FRAMES)


def test_the_samples_stay_as_they_are() -> None:
    samples = spoken(5_000)
    before = samples.copy()
    ours(samples)
    assert np.array_equal(samples, before)
