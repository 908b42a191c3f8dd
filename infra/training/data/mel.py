"""Mel power as faster-whisper computes it, before its clamp and its normalisation.

Whisper's own: 25 ms Hann windows every 10 ms at 16 kHz, Slaney's filters.
"""

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from infra.training.data.utterances import Mel

RATE = 16_000
HOP = 160
WINDOW = 400
FLOOR = 1e-10
"""The least power that a logarithm is taken of."""
Audio: TypeAlias = NDArray[np.float32]
"""Samples from -1 to 1 at 16 kHz, shape (n,)."""
Power: TypeAlias = NDArray[np.float32]
"""Mel power, shape (frames, bands)."""

HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@cache
def filters(bands: int) -> NDArray[np.float32]:
    """The filter bank, shape (bands, 201): 80 bands, or 128 for large-v3."""
    from faster_whisper.feature_extractor import FeatureExtractor  # noqa: PLC0415 - a second

    return np.asarray(FeatureExtractor(feature_size=bands).mel_filters, dtype=np.float32)


@cache
def centres(bands: int) -> NDArray[np.float64]:
    """The mean frequency of each band in hertz, shape (bands,)."""
    hertz = np.arange(WINDOW // 2 + 1) * (RATE / WINDOW)
    bank = filters(bands)
    return np.asarray((bank * hertz).sum(1) / bank.sum(1), dtype=np.float64)


def mel_power(audio: Audio, bands: int) -> Power:
    """Of every whole window in the samples."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * HANN).astype(np.complex64)) ** 2
    return np.asarray(power @ filters(bands).T, dtype=np.float32)


def log_mel(audio: Audio, bands: int) -> Mel:
    """log10 of the mel power, one frame per 160 samples, centred; half precision."""
    half = WINDOW // 2
    power = mel_power(np.pad(audio, (half, half)).astype(np.float32), bands)
    return np.log10(np.maximum(power[: len(audio) // HOP], FLOOR)).astype(np.float16)
