"""Convert stored samples of every encoding to floats."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.audio.formats import AudioFormat, Encoding
from shared.audio.pcm import PCM16_FULL_SCALE

FloatSamples: TypeAlias = NDArray[np.float32]
"""On the scale of 16-bit integers, which 32-bit floats hold exactly."""
MOMENT = 512
"""Samples of one measurement of loudness: 32 ms at 16 kHz."""
LOUDEST_FLOAT = 16.0
"""Floats beyond this times full scale are broken; larger ones could overflow in the filter."""


def channel_samples(
    whole_frames: bytes, audio: AudioFormat, index: int
) -> tuple[FloatSamples, int]:
    """Return channel `index` of interleaved frames, and the count of NaN and infinite values.

    Such values, which only floats can be, are counted in all channels and become silence.
    """
    encoding = audio.encoding
    stored = _stored(whole_frames, encoding, audio.channels)
    if encoding.dtype.startswith("<f"):
        return _from_floats(stored, index)
    if encoding.expansion:
        return np.array(encoding.expansion, np.float32)[stored[:, index]], 0
    samples = stored[:, index].astype(np.float32)
    samples -= encoding.zero
    samples *= PCM16_FULL_SCALE / encoding.full_scale
    return samples, 0


def _stored(whole_frames: bytes, encoding: Encoding, channels: int) -> NDArray[Any]:
    """Return the stored numbers, a row per frame."""
    width = np.dtype(encoding.dtype).itemsize
    if encoding.block_bytes == width:
        return np.frombuffer(whole_frames, encoding.dtype).reshape(-1, channels)
    packed = np.frombuffer(whole_frames, np.uint8).reshape(-1, encoding.block_bytes)
    widened = np.zeros((len(packed), width), np.uint8)
    widened[:, width - encoding.block_bytes :] = packed
    return widened.view(encoding.dtype).reshape(-1, channels)


def _from_floats(stored: NDArray[Any], index: int) -> tuple[FloatSamples, int]:
    real = np.isfinite(stored)
    one = stored[:, index]
    if not real.all():
        one = np.where(real[:, index], one, 0)
    samples = one.clip(-LOUDEST_FLOAT, LOUDEST_FLOAT).astype(np.float32)
    samples *= PCM16_FULL_SCALE
    return samples, int(real.size - np.count_nonzero(real))
