"""Sounds for tests, the encodings they come in, and how to hear what became of them."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from numpy.typing import NDArray

from functions.split.decoder import AudioSource
from shared.audio.formats import ENCODINGS, FLOAT_32, AudioFormat, Encoding, Limits
from shared.errors import Permanent
from tests.support.examples import chunk, fmt, riff

AMPLITUDE = 8_000
PLAIN = {key: encoding for key, encoding in ENCODINGS.items() if encoding.dtype}
"""The encodings that need no decoder."""
TAGS = {encoding.name: key for key, encoding in ENCODINGS.items()}
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def tone(hertz: float, rate: int, frames: int) -> NDArray[np.float64]:
    return AMPLITUDE * np.sin(2 * np.pi * hertz * np.arange(frames) / rate)


def both(left: float, right: float, rate: int, frames: int) -> NDArray[np.float64]:
    """A sine on each side, on the scale of 16-bit integers; a row per frame."""
    return np.stack([tone(left, rate, frames), tone(right, rate, frames)], axis=1)


def tones(left: float, right: float, rate: int, frames: int) -> bytes:
    return both(left, right, rate, frames).astype("<i2").tobytes()


def pitch(samples: NDArray[np.int16]) -> float:
    """The strongest frequency in Hz, by the middle of the samples."""
    strength = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(strength)) * 16_000 / len(samples)


def stored(samples: NDArray[np.float64], encoding: Encoding) -> bytes:
    """Samples on the scale of 16-bit integers as the encoding stores them."""
    part = samples / 2**15
    if encoding.expansion:
        distances = np.abs(np.array(encoding.expansion)[:, None] - samples.ravel())
        return bytes(distances.argmin(axis=0).astype("u1"))
    if encoding.dtype.startswith("<f"):
        return part.astype(encoding.dtype).tobytes()
    bits = 8 * encoding.block_bytes
    whole = np.rint(part * 2.0 ** (bits - 1)).clip(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
    numbers = (whole + encoding.zero).astype("<i8").ravel()
    narrow: NDArray[np.uint8] = numbers.view("u1").reshape(-1, 8)[:, : encoding.block_bytes]
    return narrow.tobytes()


def wav_of(
    samples: NDArray[np.float64], encoding: Encoding, rate: int, *, extensible: bool = False
) -> bytes:
    """A WAV with the samples in the encoding."""
    tag, bits = TAGS[encoding.name]
    channels = samples.shape[1]
    header = fmt(channels, rate, bits, tag)
    if extensible:
        plain = fmt(channels, rate, bits, 0xFFFE)[8:]
        guid = struct.pack("<H", tag) + GUID_TAIL
        header = chunk(b"fmt ", plain + struct.pack("<HHI", 22, bits, 3) + guid)
    return riff(header, chunk(b"data", stored(samples, encoding)))


def rf64(data: bytes, *others: bytes, signature: bytes = b"RF64", size: int | None = None) -> bytes:
    """An RF64 file of 16-bit stereo at 8 kHz, whose sizes are all in its ds64 chunk."""
    declared = len(data) if size is None else size
    sizes = struct.pack("<QQQI", 0, declared, declared // 4, 0)
    body = chunk(b"ds64", sizes) + b"".join(others) + fmt() + chunk(b"data", data, 0xFFFFFFFF)
    return signature + b"\xff\xff\xff\xffWAVE" + body


class FakeDecoder:
    """Decodes `FAKE` and 16-bit stereo samples at 8 kHz after it, and nothing else."""

    engine = "fake 1"

    @asynccontextmanager
    async def decoded(
        self, file: AsyncIterator[bytes], container: str, limits: Limits
    ) -> AsyncIterator[AudioSource]:
        content = b"".join([piece async for piece in file])
        head, _, samples = content.partition(b"FAKE")
        if not head or not samples:
            raise Permanent("invalid_audio", "not a fake")
        floats = (np.frombuffer(samples, "<i2") / np.float32(2**15)).astype("<f4")
        audio = AudioFormat(FLOAT_32, 2, 8_000)
        if len(floats) / 2 / 8_000 > limits.max_seconds:
            raise limits.too_long()

        async def pieces() -> AsyncIterator[bytes]:
            yield floats.tobytes()

        yield AudioSource(container, "fake", audio, len(floats) // 2, (), pieces)
