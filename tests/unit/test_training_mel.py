import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from infra.training.data.degrading import noises, normalised
from infra.training.data.mel import RATE, centres, log_mel
from infra.training.data.placing import FULL


def chirp(seconds: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """A tone that rises from 100 Hz to 4 kHz."""
    at = np.arange(round(seconds * RATE)) / RATE
    rising: np.ndarray[tuple[int], np.dtype[np.float32]] = (
        0.3 * np.sin(2 * np.pi * (100 + 1950 * at / seconds) * at)
    ).astype(np.float32)
    return rising


@pytest.mark.parametrize("bands", [80, 128])
def test_a_spectrogram_is_what_faster_whisper_takes(bands: int) -> None:
    audio = chirp(2)
    theirs = FeatureExtractor(feature_size=bands)(audio, padding=0, chunk_length=30)
    ours, _ = normalised((10 ** log_mel(audio, bands).astype(np.float32)).astype(np.float32))
    frames = min(len(ours), theirs.shape[1]) - 2  # they mirror the end where we have silence
    np.testing.assert_allclose(ours[2:frames], theirs.T[2:frames], atol=0.01)


@given(
    arrays(np.float32, (8, 80), elements=st.floats(0, 100, width=32)),
    st.floats(0, 2),
)
def test_nothing_is_quieter_than_silence(power: np.ndarray, louder: float) -> None:
    mel, silence = normalised(power, louder)
    assert silence >= -1.5
    assert mel.min() >= silence - 1e-5


def test_silence_is_as_far_below_the_loudest_place_as_whisper_has_it() -> None:
    power = np.full((4, 80), 10.0, np.float32)
    assert normalised(power)[1] == pytest.approx((1 - 8 + 4) / 4)
    assert normalised(power * 0)[1] == pytest.approx(-1.5)


def test_bands_rise_from_the_bass_to_half_the_rate() -> None:
    hertz = centres(80)
    assert np.all(np.diff(hertz) > 0)
    assert 0 < hertz[0] < hertz[-1] < RATE / 2


def test_noise_outlasts_a_window() -> None:
    assert all(len(noise) > FULL for noise in noises(80))
