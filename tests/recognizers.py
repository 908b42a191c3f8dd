"""Real recognisers with real speech that they hear right."""

import asyncio
import wave
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from events.documents import Request, Segment
from functions.transcribe.engines import LocalRecognizer
from functions.transcribe.models import find
from functions.transcribe.recognizer import SAMPLE_RATE, Recognizer, Samples
from functions.transcribe.sphinx import SphinxRecognizer
from functions.transcribe.whisper import WhisperRecognizer

ROOT = Path(__file__).parent
NANO = ROOT / "data" / "nano"
NANO_CALL = ROOT / "calls" / "nano.wav"
NOWHERE = Path("/nowhere")


@dataclass(frozen=True)
class Sample:
    """Mono speech: what is said in it, from and until when in seconds, and how exactly.

    `early`: how much too early an engine may say that an utterance begins, in seconds.
    """

    samples: Samples
    spoken: tuple[tuple[str, float, float], ...]
    early: float = 0.2


@dataclass(frozen=True)
class Tried:
    """An engine and speech that it hears right."""

    name: str
    make: Callable[[], LocalRecognizer]
    sample: Callable[[], Sample]


def nano() -> WhisperRecognizer:
    """faster-whisper with the model that is made for tests."""
    return WhisperRecognizer(find(str(NANO), NOWHERE), threads=1)


def channel(path: Path, number: int) -> Samples:
    """One channel of a 16-bit WAV of 16 kHz."""
    with wave.open(str(path)) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return frames.reshape(-1, file.getnchannels())[:, number]


def two_voices() -> Sample:
    return Sample(
        channel(ROOT / "data" / "speech" / "two-voices.wav", 0),
        (
            ("that sounds good to me", 0.5, 2.068),
            ("is there anything else that i can help you with today", 2.818, 5.611),
        ),
    )


def two_questions() -> Sample:
    """Nine seconds of the nano call's agent, from 8 s on.

    Whisper counts the breath before an utterance to its first word, as far as the voice activity
    detection lets it: 0.4 s.
    """
    return Sample(
        channel(NANO_CALL, 0)[8 * SAMPLE_RATE : 17 * SAMPLE_RATE],
        (
            ("can you please give me your customer number", 0.917, 3.595),
            ("what is your last name", 6.642, 8.201),
        ),
        early=0.5,
    )


TRIED = (
    Tried("sphinx", SphinxRecognizer, two_voices),
    Tried("whisper", nano, two_questions),
)


async def blocks_of(samples: Samples, length: int = SAMPLE_RATE) -> AsyncIterator[Samples]:
    for at in range(0, len(samples), length):
        yield samples[at : at + length]


async def recognized(
    recognizer: Recognizer,
    samples: Samples,
    length: int = SAMPLE_RATE,
    request: Request | None = None,
) -> list[Segment]:
    """What is heard in the samples, given in blocks of that length."""
    segments = recognizer.recognize(blocks_of(samples, length), request or Request())
    return [segment async for segment in segments]


def hear(recognizer: Recognizer, samples: Samples, request: Request | None = None) -> list[Segment]:
    return asyncio.run(recognized(recognizer, samples, request=request))
