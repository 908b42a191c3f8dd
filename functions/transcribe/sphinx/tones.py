"""Tell tones and held notes from speech: ringback, a busy line, chords, a melody.

The mouth never stops moving: the spectrum of speech is another one after 60 ms, but for a vowel
drawn out. A tone's stays, and so does a note's while it dies away, for the loudness is left out.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from functions.transcribe.flags import Flags, runs
from functions.transcribe.recognizer import Samples
from shared.audio.pcm import SAMPLE_RATE

WINDOW = 1_024
"""Samples of a spectrum: 64 ms, which tell lines 32 Hz apart."""
SPECTRUM_HOP = SAMPLE_RATE // 50
"""Samples from one spectrum to the next: 20 ms."""
FRAMES_APART = 3
"""Frames between two spectra that are compared: 60 ms."""
SPECTRUM_BAND = slice(120 * WINDOW // SAMPLE_RATE, 4_000 * WINDOW // SAMPLE_RATE)
"""The spectrum's lines in which telephone speech lies."""
SAME_SPECTRUM = 0.9
"""Correlation above which two spectra are the same sound."""
HELD = 14
"""Frames that a sound lasts to be held: 0.28 s, more than nearly all vowels."""
TONE_SHARE = 0.55
"""Tones are held for more of their loud frames than this; the sample calls for 0.42 at most."""
LIVELY = 12
"""Loud frames in a row, none like those around, that are speech for certain: 0.24 s."""
LOUD = 10**-1.5
"""Power of a loud frame over that of the loudest ones: -15 dB."""

Spectra: TypeAlias = NDArray[np.float32]
"""Magnitudes, shape (frames, lines)."""


def is_tone(samples: Samples) -> bool:
    """Return whether an utterance (int16, shape (n,), 16 kHz) is only tones, at whatever level.

    Returns False if it is too short to hold a note.
    """
    if len(samples) < WINDOW + HELD * SPECTRUM_HOP:
        return False
    spectra = _spectra(samples)
    loud, still = _loud(spectra), _still(spectra)
    if _longest(loud & ~still) >= LIVELY:
        return False
    return bool(_lasting(still)[loud].mean() > TONE_SHARE)


def _spectra(samples: Samples) -> Spectra:
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::SPECTRUM_HOP]
    windowed = frames * np.hanning(WINDOW).astype(np.float32)
    spectra: Spectra = np.abs(np.fft.rfft(windowed)[:, SPECTRUM_BAND]).astype(np.float32)
    return spectra


def _loud(spectra: Spectra) -> Flags:
    power = (spectra**2).sum(axis=1)
    loud: Flags = power >= np.percentile(power, 95) * LOUD
    return loud


def _still(spectra: Spectra) -> Flags:
    """Flag the frames that are like the one 60 ms before, or the one 60 ms after."""
    norms = np.sqrt((spectra**2).sum(axis=1, keepdims=True))
    shapes = spectra / np.maximum(norms, np.finfo(np.float32).tiny)
    alike = (shapes[:-FRAMES_APART] * shapes[FRAMES_APART:]).sum(axis=1) > SAME_SPECTRUM
    still = np.zeros(len(spectra), np.bool_)
    still[:-FRAMES_APART] |= alike
    still[FRAMES_APART:] |= alike
    return still


def _lasting(flags: Flags) -> Flags:
    """Return the flags without the runs that are shorter than a held sound."""
    lasting = np.zeros_like(flags)
    for start, end in runs(flags):
        lasting[start:end] = end - start >= HELD
    return lasting


def _longest(flags: Flags) -> int:
    return int(np.diff(runs(flags)).max(initial=0))
