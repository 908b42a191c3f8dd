"""What comes before the model: windows per hour of a call, and the CPU that it takes."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

from events.keys import RecordingKey
from functions.split.decoder_av import ContainerDecoder
from functions.split.handler import split
from functions.transcribe.flags import Flags
from functions.transcribe.handler import wav_samples as samples_of
from functions.transcribe.recognizer import Samples
from functions.transcribe.whisper.mel import Spectrogram
from functions.transcribe.whisper.speech.gate import VAD_FRAME
from functions.transcribe.whisper.speech.silero import SileroDetector
from functions.transcribe.whisper.speech.spans import Hysteresis, SpeechSettings
from functions.transcribe.whisper.speech.windows import Windower
from shared.audio.formats import Limits
from shared.audio.pcm import PCM16_FULL_SCALE, SAMPLE_RATE
from shared.blobs import ObjectBlobs
from tests.bench import packing
from tests.bench.composed import written
from tests.bench.figures import Figure, Part, paired, ratio
from tests.bench.hours import SIDES, Hour, hour
from tests.support.examples import RECORDING, received

HOUR = 3_600.0
TIMED = 1_800.0
"""Seconds of the call whose CPU is measured."""
ACTIVITY = 0.385
RATE = 8_000
"""Of the recording that is posted: a telephone's."""
NOTE = (
    "Windows: an hour in which each side talks for 38.5 % of the time in spurts of 0.3 to 5 s, "
    "over noise of -70 dBFS; speech is what is truly said. Lost: frames that Silero calls speech, "
    "heard without the gate before it, and that are in no window. Front end: a stereo WAV of "
    f"{RATE // 1000} kHz and {TIMED / 60:.0f} minutes, the figures times "
    f"{HOUR / TIMED:.0f}; ours is split (parsing, resampling, levels, quality, both channels "
    "written and synced) and, per channel, reading, gate, VAD, packing and spectrogram; stock is "
    "`decode_audio`, `get_speech_timestamps`, `collect_chunks` and `FeatureExtractor`. A silent "
    "channel: half of what an hour of digital silence on both takes in all of that."
)


@dataclass(frozen=True)
class Packed:
    """An hour's windows, and the speech they are to hold."""

    ours: int
    stock: int
    speech: float
    frames: int
    lost: int


def part() -> Part:
    """Windows, lost frames and CPU."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        data = Path(folder)
        pairs = timed(data)
        silent = ours(data, np.zeros((round(HOUR * RATE), 2), np.int16)) / 2
    packed = pack(hour(HOUR, ACTIVITY, 0))
    least = packed.speech / packing.LONGEST
    return Part(
        [
            Figure(
                "windows per call-hour ÷ (speech seconds ÷ 30)",
                "≤ 1.25",
                f"{packed.ours / least:.2f} ({packed.ours} windows for {packed.speech:.0f} s; "
                f"stock packing {packed.stock / least:.2f}, "
                f"no VAD {len(SIDES) * HOUR / packed.speech:.2f})",
            ),
            Figure(
                "speech frames lost",
                "0 %",
                f"{packed.lost / packed.frames:.2%} ({packed.lost} of {packed.frames})",
            ),
            Figure(
                "front end CPU seconds per stereo call-hour ÷ stock's",
                "≤ 0.5",
                ratio(pairs),
            ),
            Figure("front end CPU seconds of a silent channel-hour", "≤ 1 s", f"{silent:.2f} s"),
        ],
        NOTE,
    )


def pack(call: Hour) -> Packed:
    ours = stock = frames = lost = 0
    for side in range(len(SIDES)):
        samples = np.ascontiguousarray(call.samples[:, side])
        windows = packing.windows(samples)
        spoken = speech_without_gate(samples)
        held = np.zeros(len(samples), np.bool_)
        for span in (span for window in windows for span in window.spans):
            held[span.start : span.end] = True
        whole = held[: len(spoken) * VAD_FRAME].reshape(-1, VAD_FRAME).all(axis=1)
        frames += int(spoken.sum())
        lost += int((spoken & ~whole).sum())
        ours += len(windows)
        scaled = samples.astype(np.float32) / np.float32(PCM16_FULL_SCALE)
        stock += len(packing.stock_windows(scaled))
    speech = sum(call.speech(side) for side in range(len(SIDES)))
    return Packed(ours, stock, speech, frames, lost)


def speech_without_gate(samples: Samples) -> Flags:
    """What the detector calls speech if it hears every frame."""
    whole = samples[: len(samples) // VAD_FRAME * VAD_FRAME].reshape(-1, VAD_FRAME)
    heard = whole.astype(np.float32) / np.float32(PCM16_FULL_SCALE)
    return Hysteresis(SpeechSettings()).spoken(SileroDetector().probabilities(heard, afresh=True))


def timed(data: Path) -> list[tuple[float, float]]:
    """CPU seconds per call-hour, ours and stock, in pairs; both warm."""
    call = telephone(hour(TIMED, ACTIVITY, 1).samples)
    file = written(data / "call.wav", call, RATE)
    short = call[: 60 * RATE]
    ours(data, short)
    stock(written(data / "short.wav", short, RATE))
    factor = HOUR / TIMED
    return paired(lambda: factor * ours(data, call), lambda: factor * stock(file))


def telephone(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    narrow: NDArray[np.int16] = soxr.resample(samples, SAMPLE_RATE, RATE)
    return narrow


def ours(data: Path, call: NDArray[np.int16]) -> float:
    """CPU seconds from the posted recording to the spectrograms of both channels."""
    with tempfile.TemporaryDirectory(dir=data) as folder:
        audio = Path(folder) / received().audio
        audio.parent.mkdir(parents=True)
        written(audio, call, RATE)
        started = time.process_time()
        asyncio.run(front_end(ObjectBlobs.open(Path(folder).as_uri())))
        return time.process_time() - started


async def front_end(blobs: ObjectBlobs) -> None:
    limits = Limits(max_seconds=float("inf"))
    (event,) = await split(received(), blobs=blobs, limits=limits, decoder=ContainerDecoder())
    spectrogram = Spectrogram(FeatureExtractor().mel_filters)
    for channel in event.model_dump()["channels"]:
        windower = Windower(SileroDetector())
        key = RecordingKey("default", RECORDING).run(1).audio(channel)
        async for block in samples_of(blobs.read(key)):
            for window in windower.feed(block):
                spectrogram(window.samples)
        for window in windower.end():
            spectrogram(window.samples)


def stock(file: Path) -> float:
    """CPU seconds of what `BatchedInferencePipeline` does before it asks the model."""
    started = time.process_time()
    extractor = FeatureExtractor()
    for samples in packing.sides(file):
        for chunk in packing.stock_windows(samples):
            extractor(chunk)
    return time.process_time() - started
