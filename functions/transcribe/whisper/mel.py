"""The log-mel spectrogram that Whisper takes as input.

As in Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section
2.2: Hann windows of 25 ms every 10 ms, the power in mel bands, its logarithm, what is 80 dB below
the loudest cut off, scaled to about -1 to 1.
"""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from functions.transcribe.recognizer import Samples
from shared.audio.pcm import PCM16_FULL_SCALE, SAMPLE_RATE

Mel: TypeAlias = NDArray[np.float32]
"""Shape (bands, 3000): 30 s, padded."""
Padding: TypeAlias = Literal["silence", "zero"]
FRAMES = 3_000
"""Frames of the model's input: 30 s."""
LENGTH = 400
"""Samples that a frame is computed from: 25 ms."""
HOP = 160
"""Samples from one frame to the next: 10 ms."""
MEL_FRAME_RATE = SAMPLE_RATE // HOP
FAINTEST = 1e-10
"""Least power of a band, so that it has a logarithm."""
RANGE = 8.0
"""Range kept below the loudest value, in powers of ten: 80 dB."""
FRAMES_PER_FFT = 500
"""Frames transformed at a time: arrays this small stay in the cache."""


class Spectrogram:
    """Turns up to 30 s of samples into the model's input, shape (bands, 3000), float32.

    `filters` has shape (bands, 201), one row of weights per mel band, few of them not 0.
    `padding` is what follows the samples: `silence` is as quiet as the quietest that is kept, as
    it is when 30 s of audio end in silence; `zero` is the number 0, a moderate noise, which is
    how faster-whisper pads.
    """

    def __init__(self, filters: NDArray[np.float32], padding: Padding = "silence") -> None:
        bands, self._bins = np.nonzero(filters)
        self._weights = filters[bands, self._bins].astype(np.float32)[:, np.newaxis]
        self._bands = np.searchsorted(bands, np.arange(len(filters)))
        self._padding = padding
        self._window = np.hanning(LENGTH + 1)[:-1].astype(np.float32)

    def __call__(self, samples: Samples) -> Mel:
        if self._padding == "silence":  # the last sound reaches into the frames behind it
            samples = np.pad(samples, (0, LENGTH))
        count = min(len(samples) // HOP, FRAMES)
        mel = np.zeros((len(self._bands), FRAMES), np.float32)
        if count == 0:
            return mel
        bands = mel[:, :count]
        self._measure(samples, bands)
        np.log10(np.maximum(bands, FAINTEST, out=bands), out=bands)
        floor = bands.max() - RANGE
        np.maximum(bands, floor, out=bands)
        bands += 4.0
        bands /= 4.0
        if self._padding == "silence":
            mel[:, count:] = (max(floor, np.log10(FAINTEST)) + 4.0) / 4.0
        return mel

    def _measure(self, samples: Samples, bands: NDArray[np.float32]) -> None:
        """Write the power in each band into `bands`, shape (bands, frames)."""
        sound = np.pad(samples.astype(np.float32) / PCM16_FULL_SCALE, (0, HOP))
        sound = np.pad(sound, LENGTH // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(sound, LENGTH)[::HOP]
        for at in range(0, bands.shape[1], FRAMES_PER_FFT):
            end = min(at + FRAMES_PER_FFT, bands.shape[1])
            spectrum = np.fft.rfft(frames[at:end] * self._window)
            power = (np.square(spectrum.real) + np.square(spectrum.imag)).T
            # Not a product of matrices: on a busy machine its threads wait for each other.
            weighted = power[self._bins] * self._weights
            np.add.reduceat(weighted, self._bands, axis=0, out=bands[:, at:end])
