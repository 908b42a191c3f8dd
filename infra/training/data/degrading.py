"""Degrades speech as a telephone line does, on the mel power: level, tone, noise, band.

Noise and speech are summed as powers, without the cross term: 4 % of the training's time.
"""

import random
from functools import cache

import numpy as np

from infra.training.data.mel import FLOOR, HOP, RATE, WINDOW, Power, centres, mel_power
from infra.training.data.placing import FULL, Window
from infra.training.data.utterances import Mel

RANGE = 8.0
"""Whisper keeps so many powers of ten below the loudest place."""
SLOPES = (0.0, 0.5, 1.0, 1.5)
"""White, nearly pink, pink to brown: powers by which noise falls with frequency."""
NOISE_SECONDS = 40
SILENT = 1e-7
"""No speech has less power than this at its loudest."""


def render(
    rng: random.Random, window: Window, bands: int, *, degrade: bool = True
) -> tuple[Mel, float]:
    """The window as the model takes it, and the level that silence has in it."""
    power = np.full((window.frames, bands), FLOOR, np.float32)
    for part in window.placed:
        end = min(window.frames, part.stop)
        power[part.start : end] += 10 ** part.mel[: end - part.start]
    if not degrade:
        return normalised(power)
    elsewhere = rng.uniform(0, 0.8) if rng.random() < 0.4 else 0.0
    return normalised(degraded(rng, power), louder=elsewhere)


def normalised(power: Power, louder: float = 0.0) -> tuple[Mel, float]:
    """Whisper's clamp and scale, and what silence becomes by them.

    `louder`: by how many powers of ten some place outside this window is louder than it.
    """
    mel = np.log10(np.maximum(power, FLOOR))
    floor = float(mel.max()) + louder - RANGE
    silence = max(floor, float(np.log10(FLOOR)))
    return ((np.maximum(mel, floor) + 4) / 4).astype(np.float32), (silence + 4) / 4


def degraded(rng: random.Random, power: Power) -> Power:
    """Apply all faults of a line, or only another level, at random."""
    if rng.random() < 0.5:
        power = power * _tone(rng, power.shape[1])
    power = power * np.float32(10 ** rng.uniform(-2.2, 0.4))
    if rng.random() < 0.4:
        if rng.random() < 0.7:
            power = power + _noise(rng, power, white=0.6, quietest=6.0)
        return power * _telephone(rng, power.shape[1])
    if rng.random() < 0.55:
        power = power + _noise(rng, power, white=0.25, quietest=5.3)
    return power


def _tone(rng: random.Random, bands: int) -> Power:
    points = [rng.uniform(-0.6, 0.6) for _ in range(5)]
    at = np.linspace(0, bands - 1, len(points))
    return (10 ** np.interp(np.arange(bands), at, points)).astype(np.float32)


def _telephone(rng: random.Random, bands: int) -> Power:
    """Attenuate a telephone's stop bands: above 3.4 to 4 kHz, and below 100 to 350 Hz."""
    high, low, hertz = rng.uniform(3400, 4000), rng.uniform(100, 350), centres(bands)
    above = np.where(hertz > high, 10 ** -rng.uniform(4, 9), 1)
    depth = rng.uniform(3, 8) if rng.random() < 0.3 else rng.uniform(0, 1.5)
    return np.asarray(above * np.where(hertz < low, 10**-depth, 1), dtype=np.float32)


def _noise(rng: random.Random, power: Power, *, white: float, quietest: float) -> Power:
    """Noise of one colour whose mean is 1.9 to `quietest` powers of ten below the loudest place.

    The noise of a telephone line at 18 dB lies about 4.8 below. `white`: the share of that colour.
    """
    colour = 0 if rng.random() < white else rng.randrange(1, len(SLOPES))
    bank = noises(power.shape[1])[colour]
    start = rng.randrange(len(bank) - len(power))
    noise = bank[start : start + len(power)]
    # A window without speech may be any other's background, or louder.
    loudest = float(power.max()) if power.max() > SILENT else 10 ** rng.uniform(-5, 1)
    level = loudest * 10 ** -rng.uniform(1.9, quietest)
    return np.asarray(noise * (level / noise.mean()), dtype=np.float32)


@cache
def noises(bands: int) -> tuple[Power, ...]:
    """Mel power of noise of every colour, longer than any window; always the same."""
    rng, count = np.random.default_rng(5), NOISE_SECONDS * RATE
    if count // HOP <= FULL + WINDOW // HOP:
        raise ValueError("noise must outlast a window")
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    bank = []
    for slope in SLOPES:
        spectrum = np.fft.rfft(rng.standard_normal(count))
        spectrum[1:] *= (hertz[1:] / 1000) ** -slope
        spectrum[hertz < 40] = 0
        audio = np.fft.irfft(spectrum, count)
        bank.append(mel_power((audio / audio.std()).astype(np.float32), bands))
    return tuple(bank)
