"""Measure a recording's channels while they are split, and write the document of levels."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from events import RecordingReceived
from events.base import Channel
from events.documents import AudioWarning, Bleed, ChannelQuality, Level, Levels, Quality
from functions.split.decoder import AudioSource
from functions.split.dual_mono import Compared
from functions.split.samples import MOMENT
from shared.audio.pcm import PCM16_FULL_SCALE

SIDES: tuple[Channel, ...] = ("left", "right")

QUIET_SPEECH = PCM16_FULL_SCALE * 10 ** (-60 / 20)
"""RMS of a moment below which nobody speaks; quiet speech has -35 dBFS on the whole."""
MUCH_CLIPPED = 0.001
"""Share of clipped samples from which a warning is given."""


class Meter:
    """Measures and digests 16-bit samples as they pass, the same in chunks of any size."""

    def __init__(self) -> None:
        self.frames = 0
        self.sha256 = hashlib.sha256()
        self._peak = 0
        self._squares = 0
        self._loudest = 0
        self._rest = np.zeros(0, np.int16)

    def add(self, samples: NDArray[np.int16]) -> None:
        if len(samples):
            self.frames += len(samples)
            self.sha256.update(samples.astype("<i2", copy=False).tobytes())
            self._peak = max(self._peak, int(samples.max()), -int(samples.min()))
            joined = np.concatenate([self._rest, samples])
            end = len(joined) - len(joined) % MOMENT
            self._add_moments(joined[:end].reshape(-1, MOMENT))
            self._rest = joined[end:].copy()

    @property
    def silent(self) -> bool:
        """Whether nothing is as loud as quiet speech."""
        loudest = max(self._loudest, _squares(self._rest))
        return loudest < MOMENT * QUIET_SPEECH**2

    def level(self, channel: Channel) -> Level:
        """Return peak and RMS in dBFS: a full-scale sine has 0 and -3.01."""
        if not self._peak:
            return Level(channel=channel, peak=None, rms=None)
        mean = math.sqrt((self._squares + _squares(self._rest)) / self.frames)
        return Level(channel=channel, peak=_decibels(self._peak), rms=_decibels(mean))

    def _add_moments(self, moments: NDArray[np.int16]) -> None:
        if len(moments):
            wide = moments.astype(np.float64)  # it holds the sums exactly, and is fast
            squares = np.einsum("ij,ij->i", wide, wide).astype(np.int64)
            self._squares += int(squares.sum())
            self._loudest = max(self._loudest, int(squares.max()))


def _squares(samples: NDArray[np.int16]) -> int:
    return int(np.square(samples, dtype=np.int64).sum())


def _decibels(size: float) -> float:
    return round(20 * math.log10(size / PCM16_FULL_SCALE), 2)


@dataclass(frozen=True, slots=True)
class Track:
    """A channel of the recording: channel `index` of an uploaded file."""

    channel: Channel
    source: AudioSource
    index: int


@dataclass(frozen=True, slots=True)
class ChannelMeasures:
    """The measures of one channel, `frames` samples at 16 kHz.

    `not_numbers` counts NaN and infinite values in the upload; `sha256` is of the samples.
    """

    frames: int
    level: Level
    quality: ChannelQuality
    not_numbers: int
    sha256: str


def tracks(sources: Sequence[AudioSource]) -> tuple[Track, ...]:
    """Return the channels of one file, left first and mono as left, or of two mono files."""
    if len(sources) > 1:
        return tuple(Track(side, source, 0) for side, source in zip(SIDES, sources, strict=True))
    (source,) = sources
    return tuple(Track(SIDES[index], source, index) for index in range(source.audio.channels))


def levels_of(
    received: RecordingReceived,
    digest: str,
    sources: Sequence[AudioSource],
    measured: Sequence[ChannelMeasures],
    compared: Compared,
) -> Levels:
    """Return the document. Two files are one recording: the longer duration, the higher rate.

    Dual mono is one channel of the run, as a mono upload is.
    """
    quality = Quality(
        dual_mono=compared.dual_mono,
        channels=tuple(one.quality for one in measured),
        bleed=compared.bleed,
    )
    return Levels(
        recording=received.recording,
        run=received.run,
        digest=digest,
        container=_all(source.container for source in sources),
        encoding=_all(source.encoding for source in sources),
        sample_rate=max(source.audio.sample_rate for source in sources),
        channels=sum(source.audio.channels for source in sources),
        duration=max(source.seconds for source in sources),
        levels=tuple(one.level for one in (measured[:1] if quality.dual_mono else measured)),
        warnings=(*_warnings(sources), *_not_numbers(measured), *_doubts(quality)),
        quality=quality,
        sha256={one.level.channel: one.sha256 for one in measured},
    )


def _all(names: Iterable[str]) -> str:
    """Join different names with a plus sign."""
    return "+".join(dict.fromkeys(names))


def _warnings(sources: Sequence[AudioSource]) -> Iterable[AudioWarning]:
    for side, source in zip(SIDES, sources, strict=False):
        for warning in source.warnings:
            whose = f"The {side} file: " if len(sources) > 1 else ""
            yield AudioWarning(code=warning.code, message=whose + warning.message)


def _not_numbers(measured: Sequence[ChannelMeasures]) -> Iterable[AudioWarning]:
    if worst := max(one.not_numbers for one in measured):
        message = f"{worst} samples were no finite numbers; they were taken as silence."
        yield AudioWarning(code="not_numbers", message=message)


def _doubts(quality: Quality) -> Iterable[AudioWarning]:
    """Yield a warning for each fault of the channels' quality."""
    if quality.dual_mono:
        message = "Both channels carry the same source; it was transcribed once, as left."
        yield AudioWarning(code="dual_mono", message=message)
    for one in quality.channels:
        which = f"The {one.channel} channel" if len(quality.channels) > 1 else "The only channel"
        if one.silent:
            message = f"{which} has nothing as loud as quiet speech; it was transcribed anyway."
            yield AudioWarning(code="silent_channel", message=message)
        if one.clipped >= MUCH_CLIPPED:
            message = f"{which} is cut off at its limit in {one.clipped:.1%} of its samples; "
            message += "it was transcribed as it is."
            yield AudioWarning(code="clipped_channel", message=message)
    yield from map(_bleeds, quality.bleed)


def _bleeds(bleed: Bleed) -> AudioWarning:
    when = f"{abs(bleed.delay):g} s {'later' if bleed.delay >= 0 else 'earlier'}"
    message = (
        f"The {bleed.source} party can be heard on the {bleed.into} channel, "
        f"at {bleed.gain:g} dB and {when}; words that only echo there are left out."
    )
    return AudioWarning(code="bleed", message=message)
