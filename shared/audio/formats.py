"""The audio that PocWhisp accepts: the encodings and limits that ingest and split share."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shared.errors import Permanent

PCM = 0x0001
FLOAT = 0x0003
A_LAW = 0x0006
MU_LAW = 0x0007
GSM = 0x0031
EXTENSIBLE = 0xFFFE
ALLOWED_FILES = "WAV, RF64, FLAC, MP3, Ogg with Opus or Vorbis, M4A"


def unknown_file_type(start: bytes, allowed: str = ALLOWED_FILES) -> Permanent:
    """Return the error for a file of a kind that is not accepted, by its first bytes."""
    found = f"begins with {start[:12]!r}" if start else "is empty"
    return Permanent("invalid_file_type", f"The upload {found}; allowed: {allowed}.")


def a_law(code: int) -> int:
    """Return the 16-bit sample of one A-law byte (ITU-T G.711)."""
    code ^= 0x55
    segment, mantissa = (code & 0x70) >> 4, (code & 0x0F) << 4
    size = mantissa + 8 if segment == 0 else (mantissa + 0x108) << (segment - 1)
    return size if code & 0x80 else -size


def mu_law(code: int) -> int:
    """Return the 16-bit sample of one mu-law byte (ITU-T G.711)."""
    code ^= 0xFF
    size = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return -size if code & 0x80 else size


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoding of stored samples.

    A block is the smallest whole piece of one channel: a sample, unless `block_frames` says more.
    A sample is, between -1 and 1, `(stored - zero) / full_scale`, where `stored` is of numpy's
    type `dtype`; one with fewer bytes than its dtype takes the dtype's high bytes. With an
    `expansion`, a table of 256, `stored` is the byte's entry in the table. Without a dtype
    the samples are compressed and need a decoder.
    """

    name: str
    block_bytes: int
    dtype: str = ""
    full_scale: float = 1.0
    zero: int = 0
    expansion: tuple[int, ...] = ()
    block_frames: int = 1


FLOAT_32 = Encoding("pcm_f32le", 4, "<f4")

ENCODINGS: Mapping[tuple[int, int], Encoding] = MappingProxyType(
    {
        (PCM, 8): Encoding("pcm_u8", 1, "u1", 2.0**7, zero=128),
        (PCM, 16): Encoding("pcm_s16le", 2, "<i2", 2.0**15),
        (PCM, 24): Encoding("pcm_s24le", 3, "<i4", 2.0**31),
        (PCM, 32): Encoding("pcm_s32le", 4, "<i4", 2.0**31),
        (FLOAT, 32): FLOAT_32,
        (FLOAT, 64): Encoding("pcm_f64le", 8, "<f8"),
        (A_LAW, 8): Encoding("pcm_alaw", 1, "u1", 2.0**15, expansion=tuple(map(a_law, range(256)))),
        (MU_LAW, 8): Encoding(
            "pcm_mulaw", 1, "u1", 2.0**15, expansion=tuple(map(mu_law, range(256)))
        ),
        (GSM, 0): Encoding("gsm_ms", 65, block_frames=320),
    }
)
"""By WAVE format tag and bits per stored sample.

Fewer valid bits, which an extensible header may give, are the high ones, so they need no care.
"""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The format of the samples as a header gives it. `sample_rate` in Hz."""

    encoding: Encoding
    channels: int
    sample_rate: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of the smallest whole piece of all channels."""
        return self.encoding.block_bytes * self.channels

    def frames(self, size: int) -> int:
        """Return the whole frames (a sample of every channel) in `size` bytes."""
        return size // self.frame_bytes * self.encoding.block_frames

    def seconds(self, size: int) -> float:
        """Return the duration of `size` bytes of samples, in seconds."""
        return self.frames(size) / self.sample_rate


@dataclass(frozen=True, slots=True)
class Limits:
    """The allowed audio; durations in seconds, rates in Hz, both ends included."""

    channels: tuple[int, ...] = (1, 2)
    min_rate: int = 8_000
    max_rate: int = 48_000
    min_seconds: float = 1.0
    max_seconds: float = 1_800.0

    def check_format(self, audio: AudioFormat) -> None:
        """Raise `Permanent` (audio_constraints) unless channels and rate are allowed."""
        self.check_layout(audio.channels, audio.sample_rate)

    def check_layout(self, channels: int, sample_rate: int) -> None:
        """Raise `Permanent` (audio_constraints) unless channels and rate (Hz) are allowed."""
        if channels not in self.channels:
            allowed = " or ".join(str(count) for count in self.channels)
            raise outside_limits(f"The file has {channels} channels; allowed: {allowed}.")
        if not self.min_rate <= sample_rate <= self.max_rate:
            raise outside_limits(
                f"The sample rate is {sample_rate} Hz; "
                f"allowed: {self.min_rate} to {self.max_rate} Hz."
            )

    def check_duration(self, seconds: float) -> None:
        """Raise `Permanent` (audio_constraints) unless the duration is allowed."""
        if not self.min_seconds <= seconds <= self.max_seconds:
            raise self._lasts(f"{round(seconds, 3):g} s")

    def too_long(self) -> Permanent:
        """Return the error for audio that exceeds the limit and was not read to its end."""
        return self._lasts(f"more than {self.max_seconds:g} s")

    def _lasts(self, found: str) -> Permanent:
        allowed = f"{self.min_seconds:g} to {self.max_seconds:g} s"
        return outside_limits(f"The recording lasts {found}; allowed: {allowed}.")


def outside_limits(message: str) -> Permanent:
    """Return the error for audio that can be read but is outside the limits."""
    return Permanent("audio_constraints", message)
