"""How speech is packed into windows: ours and faster-whisper's."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from faster_whisper.audio import decode_audio
from faster_whisper.vad import VadOptions, collect_chunks, get_speech_timestamps
from numpy.typing import NDArray

from functions.transcribe.recognizer import Samples
from functions.transcribe.whisper.speech.silero import SileroDetector
from functions.transcribe.whisper.speech.windows import Window, Windower
from shared.audio.pcm import SAMPLE_RATE

LONGEST = 30
STOCK = VadOptions(max_speech_duration_s=LONGEST, min_silence_duration_ms=160)
"""What `BatchedInferencePipeline` takes if it is told nothing else."""


def windows(samples: Samples) -> list[Window]:
    """A channel's windows as `WhisperRecognizer` makes them."""
    windower = Windower(SileroDetector())
    return [*windower.feed(samples), *windower.end()]


def stock_windows(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """A channel's windows as `BatchedInferencePipeline` makes them; samples from -1 to 1."""
    spans = get_speech_timestamps(samples, STOCK)
    return list(collect_chunks(samples, spans, max_duration=LONGEST)[0]) if spans else []


def sides(call: Path) -> Iterator[NDArray[np.float32]]:
    """Both channels as faster-whisper reads them: 16 kHz, from -1 to 1."""
    yield from decode_audio(str(call), sampling_rate=SAMPLE_RATE, split_stereo=True)
