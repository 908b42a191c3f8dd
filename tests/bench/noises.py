"""Sounds of a telephone line on which nobody speaks: 16 kHz mono, made the same each time."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from functions.transcribe.recognizer import Samples
from shared.audio.pcm import SAMPLE_RATE

SECONDS = 20
FULL_SCALE = 32_768
TIMES = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
LEVELS = -60, -45, -30
"""Of noise and hum, in dBFS."""
ROWS, COLUMNS = (697, 770, 852, 941), (1_209, 1_336, 1_477)
CHORDS = (48, 55, 60, 64), (45, 57, 60, 64), (41, 53, 57, 60), (43, 50, 59, 62)
"""C, A minor, F, G: notes as MIDI numbers them."""
BEAT = 0.5

Sound = NDArray[np.float64]


def noises() -> Mapping[str, Samples]:
    """Every sound by its name."""
    rng = np.random.default_rng(0)
    white = rng.normal(size=len(TIMES))
    sounds = {"digital silence": np.zeros(len(TIMES), np.int16)}
    for level in LEVELS:
        sounds[f"white noise {level} dBFS"] = at(white, level)
        sounds[f"pink noise {level} dBFS"] = at(pink(white), level)
        sounds[f"mains hum {level} dBFS"] = at(hum(), level)
    sounds["ringback tone"] = at(cadenced(tones(425), 1.0, 4.0), -20)
    sounds["busy tone"] = at(cadenced(tones(425), 0.48, 0.48), -20)
    sounds["North American ringback"] = at(cadenced(tones(440, 480), 2.0, 4.0), -20)
    sounds["dialled digits"] = at(dialled(rng), -18)
    sounds["music-like chords"] = at(music(), -20)
    sounds["music-like chords and drums"] = at(music() + 0.7 * drums(rng), -20)
    sounds["melody with vibrato"] = at(melody(rng), -20)
    return sounds


def at(sound: Sound, level: float) -> Samples:
    """The sound at this level (RMS) in dBFS."""
    loud = sound * FULL_SCALE * 10 ** (level / 20) / np.sqrt((sound**2).mean())
    clipped: Samples = np.rint(loud).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return clipped


def pink(white: Sound) -> Sound:
    """As much power in every octave above 20 Hz."""
    spectrum = np.fft.rfft(white)
    slope = np.sqrt(np.maximum(np.fft.rfftfreq(len(white), 1 / SAMPLE_RATE), 20))
    return np.fft.irfft(spectrum / slope, len(white))


def hum() -> Sound:
    """50 Hz and its odd harmonics."""
    return sum((tones(50 * n) / n for n in (1, 3, 5, 7, 9)), start=np.zeros(len(TIMES)))


def tones(*hertz: float) -> Sound:
    return sum((np.sin(2 * np.pi * one * TIMES) for one in hertz), start=np.zeros(len(TIMES)))


def cadenced(sound: Sound, on: float, off: float) -> Sound:
    """On and off for so many seconds each."""
    return sound * (TIMES % (on + off) < on)


def dialled(rng: np.random.Generator) -> Sound:
    """Digits of 120 ms with pauses of 80 ms, and a second's pause after ten."""
    sound = np.zeros(len(TIMES))
    length = round(0.12 * SAMPLE_RATE)
    for start in np.arange(0, SECONDS, 0.2):
        if start % 3 < 2:
            first = round(start * SAMPLE_RATE)
            pair = tones(rng.choice(ROWS), rng.choice(COLUMNS))
            sound[first : first + length] = pair[first : first + length]
    return sound


def music() -> Sound:
    """Chords of tones with harmonics, one every two seconds, each struck and dying away."""
    sound = np.zeros(len(TIMES))
    for number, start in enumerate(range(0, SECONDS, 2)):
        place = slice(start * SAMPLE_RATE, (start + 2) * SAMPLE_RATE)
        since = TIMES[place] - start
        for note in CHORDS[number % len(CHORDS)]:
            sound[place] += voice(since, note) * np.exp(-since)
    return sound


def melody(rng: np.random.Generator) -> Sound:
    """A single voice-like line, a note every half second, with vibrato."""
    sound = np.zeros(len(TIMES))
    notes = rng.choice([60, 62, 64, 65, 67, 69, 71, 72], int(SECONDS / BEAT))
    for number, note in enumerate(notes.tolist()):
        place = slice(round(number * BEAT * SAMPLE_RATE), round((number + 1) * BEAT * SAMPLE_RATE))
        since = TIMES[place] - number * BEAT
        sound[place] = voice(since, note, vibrato=0.01) * np.minimum(since / 0.05, 1)
    return sound


def voice(since: Sound, note: int, vibrato: float = 0.004) -> Sound:
    """A tone with six harmonics, swinging five times a second by this part of its pitch."""
    hertz = 440 * 2 ** ((note - 69) / 12)
    phase = 2 * np.pi * hertz * since + vibrato * hertz / 5 * np.sin(2 * np.pi * 5 * since)
    return sum((np.sin(n * phase) / n for n in range(1, 7)), start=np.zeros(len(since)))


def drums(rng: np.random.Generator) -> Sound:
    """A burst of noise on every beat."""
    return rng.normal(size=len(TIMES)) * np.exp(-20 * (TIMES % BEAT))
