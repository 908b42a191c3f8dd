"""Take one channel out of interleaved samples and bring it to the recogniser's rate."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import numpy as np
import soxr

from functions.split.clipping import Clipping
from functions.split.levels import Meter
from functions.split.samples import FloatSamples, channel_samples
from shared.audio.formats import AudioFormat
from shared.audio.pcm import PCM16_FULL_SCALE, SAMPLE_RATE

FRAMES_AT_ONCE = 1 << 15
"""Frames resampled at a time: arrays this small reuse the same memory."""


def resampled_frames(frames: int, sample_rate: int) -> int:
    """Return the number of samples at 16 kHz for `frames` samples at `sample_rate`."""
    return round(frames * SAMPLE_RATE / sample_rate)


class ChannelReader:
    """Streams one channel: takes interleaved bytes in chunks of any size, yields its samples.

    `clipping` measures them; `not_numbers` counts the NaN and infinite values of all channels.
    """

    def __init__(self, audio: AudioFormat, index: int) -> None:
        self.clipping = Clipping()
        self.not_numbers = 0
        self._audio = audio
        self._index = index
        self._partial_frame = b""

    def read(self, chunk: bytes) -> Iterator[FloatSamples]:
        """Yield the samples that are complete after this chunk, in small arrays."""
        whole = self._partial_frame + chunk
        end = len(whole) - len(whole) % self._audio.frame_bytes
        self._partial_frame = whole[end:]
        step = FRAMES_AT_ONCE * self._audio.frame_bytes
        for at in range(0, end, step):
            yield self._measured(whole[at : min(at + step, end)])

    def measure(self, chunk: bytes) -> None:
        """Measure a chunk without using its samples."""
        for _ in self.read(chunk):
            pass

    def _measured(self, whole_frames: bytes) -> FloatSamples:
        samples, not_numbers = channel_samples(whole_frames, self._audio, self._index)
        self.not_numbers += not_numbers
        self.clipping.add(samples)
        return samples


class ChannelResampler:
    """Streams one channel: interleaved bytes in chunks of any size to 16 kHz samples (soxr, HQ).

    The output has exactly `frames` samples, see `resampled_frames`, whatever filter delay soxr has.
    Equal input gives equal output: soxr works on floats, because to integers it adds random dither.
    `reader` measures what goes in, `meter` what comes out.
    """

    def __init__(self, audio: AudioFormat, index: int, frames: int) -> None:
        self.frames = resampled_frames(frames, audio.sample_rate)
        self.reader = ChannelReader(audio, index)
        self.meter = Meter()
        self._missing = self.frames
        self._stream = soxr.ResampleStream(
            audio.sample_rate, SAMPLE_RATE, num_channels=1, dtype="float32", quality="HQ"
        )

    def push(self, chunk: bytes) -> bytes:
        """Return the 16-bit samples that are ready after this chunk."""
        return b"".join(
            self._trim(self._stream.resample_chunk(samples)) for samples in self.reader.read(chunk)
        )

    def finish(self) -> bytes:
        """Return the filter's rest, padded with silence to the promised length."""
        rest = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        padding = np.zeros(max(0, self._missing - len(rest)), np.float32)
        return self._trim(np.concatenate([rest, padding]))

    def _trim(self, samples: FloatSamples) -> bytes:
        kept = samples[: self._missing]
        self._missing -= len(kept)
        rounded = np.rint(kept).clip(-PCM16_FULL_SCALE, PCM16_FULL_SCALE - 1).astype("<i2")
        self.meter.add(rounded)
        return rounded.tobytes()


async def resampled(
    chunks: AsyncIterator[bytes], resampler: ChannelResampler
) -> AsyncIterator[bytes]:
    """Yield the channel's 16-bit samples, resampled in a thread."""
    async for chunk in chunks:
        if ready := await asyncio.to_thread(resampler.push, chunk):
            yield ready
    if ready := await asyncio.to_thread(resampler.finish):
        yield ready
