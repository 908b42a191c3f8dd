"""The audio PocWhisp takes: one table of encodings and one set of limits, for ingest and split."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shared.errors import Permanent

PCM = 0x0001
EXTENSIBLE = 0xFFFE


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one sample is stored. `dtype` is numpy's name for it."""

    name: str
    dtype: str
    sample_bytes: int


ENCODINGS: Mapping[tuple[int, int], Encoding] = MappingProxyType(
    {(PCM, 16): Encoding("pcm_s16le", "<i2", 2)}
)
"""By WAVE format tag and bits per sample."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What a header says of the samples. `sample_rate` in Hz."""

    encoding: Encoding
    channels: int
    sample_rate: int

    @property
    def frame_bytes(self) -> int:
        return self.encoding.sample_bytes * self.channels

    def seconds(self, size: int) -> float:
        """Duration of `size` bytes of samples."""
        return size // self.frame_bytes / self.sample_rate


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed; durations in seconds, rates in Hz, both ends included."""

    channels: tuple[int, ...] = (2,)
    min_rate: int = 8_000
    max_rate: int = 48_000
    min_seconds: float = 1.0
    max_seconds: float = 1_800.0

    def check_format(self, audio: AudioFormat) -> None:
        """Raise `Permanent` (audio_constraints) unless channels and rate are allowed."""
        if audio.channels not in self.channels:
            allowed = " or ".join(str(count) for count in self.channels)
            raise outside(f"The file has {audio.channels} channels; allowed: {allowed}.")
        if not self.min_rate <= audio.sample_rate <= self.max_rate:
            raise outside(
                f"The sample rate is {audio.sample_rate} Hz; "
                f"allowed: {self.min_rate} to {self.max_rate} Hz."
            )

    def check_duration(self, seconds: float) -> None:
        """Raise `Permanent` (audio_constraints) unless the duration is allowed."""
        if not self.min_seconds <= seconds <= self.max_seconds:
            raise outside(
                f"The recording lasts {round(seconds, 3):g} s; "
                f"allowed: {self.min_seconds:g} to {self.max_seconds:g} s."
            )


def outside(message: str) -> Permanent:
    """The error for sound audio that is outside the limits."""
    return Permanent("audio_constraints", message)
