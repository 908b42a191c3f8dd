"""What split finds out about a recording while it goes through."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from events import RecordingReceived
from events.base import Channel
from events.documents import AudioWarning, Level, Levels
from functions.split.decoder import Sound
from functions.split.samples import FULL_SCALE

SIDES: tuple[Channel, ...] = ("left", "right")


class Meter:
    """Measures 16-bit samples as they pass. Exact, so pieces of any size give the same."""

    def __init__(self) -> None:
        self.frames = 0
        self._peak = 0
        self._squares = 0

    def add(self, samples: NDArray[np.int16]) -> None:
        if len(samples):
            wide = samples.astype(np.int64)
            self.frames += len(wide)
            self._peak = max(self._peak, int(wide.max()), -int(wide.min()))
            self._squares += int(np.dot(wide, wide))

    def level(self, channel: Channel) -> Level:
        """Peak and RMS in dBFS: a sine that just fits has 0 and -3.01."""
        if not self._peak:
            return Level(channel=channel, peak=None, rms=None)
        mean = math.sqrt(self._squares / self.frames)
        return Level(channel=channel, peak=_decibels(self._peak), rms=_decibels(mean))


def _decibels(size: float) -> float:
    return round(20 * math.log10(size / FULL_SCALE), 2)


@dataclass(frozen=True, slots=True)
class Track:
    """A channel of the recording: channel `index` of an uploaded file."""

    channel: Channel
    sound: Sound
    index: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out about one channel. `not_numbers`: samples that were none."""

    level: Level
    not_numbers: int


def tracks(sounds: Sequence[Sound]) -> tuple[Track, ...]:
    """One file's channels, left first and mono as left; or the only channel of either file."""
    if len(sounds) > 1:
        return tuple(Track(side, sound, 0) for side, sound in zip(SIDES, sounds, strict=True))
    (sound,) = sounds
    return tuple(Track(SIDES[index], sound, index) for index in range(sound.audio.channels))


def levels_of(
    received: RecordingReceived, digest: str, sounds: Sequence[Sound], measured: Sequence[Measured]
) -> Levels:
    """The document. Two files are told as one recording: the longer duration, the higher rate."""
    return Levels(
        recording=received.recording,
        run=received.run,
        digest=digest,
        container=_all(sound.container for sound in sounds),
        encoding=_all(sound.encoding for sound in sounds),
        sample_rate=max(sound.audio.sample_rate for sound in sounds),
        channels=sum(sound.audio.channels for sound in sounds),
        duration=max(sound.seconds for sound in sounds),
        levels=tuple(one.level for one in measured),
        warnings=(*_warnings(sounds), *_not_numbers(measured)),
    )


def _all(names: Iterable[str]) -> str:
    """Different names joined by a plus sign."""
    return "+".join(dict.fromkeys(names))


def _warnings(sounds: Sequence[Sound]) -> Iterable[AudioWarning]:
    for side, sound in zip(SIDES, sounds, strict=False):
        for warning in sound.warnings:
            whose = f"The {side} file: " if len(sounds) > 1 else ""
            yield AudioWarning(code=warning.code, message=whose + warning.message)


def _not_numbers(measured: Sequence[Measured]) -> Iterable[AudioWarning]:
    if worst := max(one.not_numbers for one in measured):
        message = f"{worst} samples were no finite numbers; they were taken as silence."
        yield AudioWarning(code="not_numbers", message=message)
