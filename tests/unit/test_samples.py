import io
import warnings

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from functions.split.samples import LOUDEST_FLOAT, channel_samples
from shared.audio.formats import ENCODINGS, AudioFormat, Encoding
from tests.support.sounds import PLAIN, stored

SUBTYPES = {
    (1, 8): "PCM_U8",
    (1, 16): "PCM_16",
    (1, 24): "PCM_24",
    (1, 32): "PCM_32",
    (3, 32): "FLOAT",
    (3, 64): "DOUBLE",
    (6, 8): "ALAW",
    (7, 8): "ULAW",
}
encodings = st.sampled_from(list(PLAIN.values()))
sounds = arrays.arrays(
    np.float64,
    st.tuples(st.integers(0, 50), st.integers(1, 2)),
    elements=st.floats(-(2.0**15), 2.0**15 - 1),
)


def step(encoding: Encoding) -> float:
    """Largest rounding error on the scale of 16-bit integers."""
    if encoding.expansion:
        return 1_024
    return {"pcm_u8": 256, "pcm_s16le": 1.0}.get(encoding.name, 0.01)


@given(encodings, sounds)
def test_every_encoding_comes_back_within_its_quantisation(
    encoding: Encoding, sound: NDArray[np.float64]
) -> None:
    channels = sound.shape[1]
    audio = AudioFormat(encoding, channels, 8_000)
    for index in range(channels):
        samples, not_numbers = channel_samples(stored(sound, encoding), audio, index)
        assert not_numbers == 0
        assert samples.dtype == np.float32
        assert samples.shape == (len(sound),)
        assert np.abs(samples - sound[:, index]).max(initial=0) <= step(encoding)


@pytest.mark.parametrize("key", SUBTYPES)
def test_every_encoding_sounds_as_another_program_hears_it(key: tuple[int, int]) -> None:
    sound = np.random.default_rng(1).uniform(-1, 1, (4_000, 2))
    subtype, file = SUBTYPES[key], io.BytesIO()
    soundfile.write(file, sound, 8_000, format="WAV", subtype=subtype)
    file.seek(0)
    heard, _ = soundfile.read(file, dtype="float64")
    audio = AudioFormat(ENCODINGS[key], 2, 8_000)
    data = file.getvalue()
    start = data.index(b"data") + 8
    content = data[start : start + 4_000 * audio.frame_bytes]
    for index in (0, 1):
        samples, _ = channel_samples(content, audio, index)
        assert np.abs(samples - heard[:, index] * 2**15).max() < 0.01


@pytest.mark.parametrize("key", [(3, 32), (3, 64)])
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_silent_and_counted_on_every_channel(
    key: tuple[int, int], broken: float
) -> None:
    sound = np.full((4, 2), 0.5)
    sound[1, 0] = sound[2, 1] = broken
    audio = AudioFormat(ENCODINGS[key], 2, 8_000)
    content = sound.astype(audio.encoding.dtype).tobytes()
    for index, silent in ((0, 1), (1, 2)):
        samples, not_numbers = channel_samples(content, audio, index)
        expected = np.full(4, 2.0**14)
        expected[silent] = 0
        assert samples.tolist() == expected.tolist()
        assert not_numbers == 2


@given(st.sampled_from([(3, 32), (3, 64)]), st.binary(max_size=256))
def test_any_floats_become_finite_samples_in_silence(key: tuple[int, int], junk: bytes) -> None:
    audio = AudioFormat(ENCODINGS[key], 1, 8_000)
    whole = junk[: len(junk) - len(junk) % audio.frame_bytes]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples, _ = channel_samples(whole, audio, 0)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max(initial=0) <= LOUDEST_FLOAT * 2**15
