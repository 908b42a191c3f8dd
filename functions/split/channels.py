"""Take one channel out of interleaved samples and bring it to the recogniser's rate."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

from shared.formats import AudioFormat

RECOGNIZER_RATE = 16_000
Samples: TypeAlias = NDArray[np.float32]
"""On the scale of 16-bit integers, which 32-bit floats hold exactly."""


def resampled_frames(frames: int, sample_rate: int) -> int:
    """Number of samples at 16 kHz for `frames` samples at `sample_rate`."""
    return round(frames * RECOGNIZER_RATE / sample_rate)


class ChannelResampler:
    """Streams one channel: interleaved bytes in any pieces in, 16 kHz samples out (soxr, HQ).

    The output has exactly `resampled_frames(frames)` samples, whatever filter delay soxr has.
    Equal input gives equal output: soxr works on floats, because to integers it adds random dither.
    """

    def __init__(self, audio: AudioFormat, index: int, frames: int) -> None:
        self._audio = audio
        self._index = index
        self._missing = resampled_frames(frames, audio.sample_rate)
        self._partial_frame = b""
        self._stream = soxr.ResampleStream(
            audio.sample_rate, RECOGNIZER_RATE, num_channels=1, dtype="float32", quality="HQ"
        )

    def push(self, piece: bytes) -> bytes:
        """The 16-bit samples that are ready after this piece."""
        whole = self._partial_frame + piece
        end = len(whole) - len(whole) % self._audio.frame_bytes
        self._partial_frame = whole[end:]
        return self._trim(self._stream.resample_chunk(self._channel(whole[:end])))

    def finish(self) -> bytes:
        """What the filter still held, padded with silence to the promised length."""
        rest = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        return self._trim(np.concatenate([rest, np.zeros(self._missing, np.float32)]))

    def _channel(self, whole_frames: bytes) -> Samples:
        frames = np.frombuffer(whole_frames, self._audio.encoding.dtype)
        return frames.reshape(-1, self._audio.channels)[:, self._index].astype(np.float32)

    def _trim(self, samples: Samples) -> bytes:
        kept = samples[: self._missing]
        self._missing -= len(kept)
        return np.rint(kept).clip(-(2**15), 2**15 - 1).astype("<i2").tobytes()


async def resampled(
    pieces: AsyncIterator[bytes], audio: AudioFormat, index: int, frames: int
) -> AsyncIterator[bytes]:
    """Resample channel `index` of `frames` interleaved frames, off the event loop."""
    resampler = ChannelResampler(audio, index, frames)
    async for piece in pieces:
        if ready := await asyncio.to_thread(resampler.push, piece):
            yield ready
    if ready := resampler.finish():
        yield ready
