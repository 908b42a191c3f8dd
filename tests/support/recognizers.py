"""Real recognisers with real speech that they hear right."""

import asyncio
import atexit
import wave
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from events.documents import Request, Segment
from functions.transcribe.engines import LocalRecognizer
from functions.transcribe.recognizer import FROM_START, Hypothesis, Recognizer, ResumePoint, Samples
from functions.transcribe.sphinx.recognizer import SphinxRecognizer
from functions.transcribe.whisper.models import find_model
from functions.transcribe.whisper.recognizer import WhisperRecognizer, WhisperSetup
from shared.audio.pcm import SAMPLE_RATE

ROOT = Path(__file__).parents[1]
NANO = ROOT / "data" / "nano"
NANO_CALL = ROOT / "calls" / "nano.wav"
NANO_SETTINGS = {
    "RECOGNIZER": "whisper",
    "WHISPER_MODEL": str(NANO),
    "WHISPER_COMPUTE_TYPE": "int8",
    "WHISPER_THREADS": "1",
}
"""Settings of transcribe that choose the model made for tests, which is quick."""
NOWHERE = Path("/nowhere")
T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """Mono speech: what is said in it, from and until when in seconds, and how exactly.

    `early`: how much too early an engine may say that an utterance begins, in seconds; `short`:
    and that it ends.
    """

    samples: Samples
    spoken: tuple[tuple[str, float, float], ...]
    early: float = 0.2
    short: float = 0.2


@dataclass(frozen=True)
class Tried:
    """An engine and speech that it hears right; so many `times`, it is several pieces."""

    name: str
    make: Callable[[], LocalRecognizer]
    sample: Callable[[], Sample]
    times: int


def nano() -> WhisperRecognizer:
    """faster-whisper with the model that is made for tests."""
    return WhisperRecognizer(find_model(str(NANO), NOWHERE), WhisperSetup(threads=1))


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
    detection lets it: 0.4 s. What fades away behind the last one it gives to its question mark.
    """
    return Sample(
        channel(NANO_CALL, 0)[8 * SAMPLE_RATE : 17 * SAMPLE_RATE],
        (
            ("can you please give me your customer number", 0.917, 3.595),
            ("what is your last name", 6.642, 8.201),
        ),
        early=0.5,
        short=0.4,
    )


TRIED = (
    Tried("sphinx", SphinxRecognizer, two_voices, times=2),
    Tried("whisper", nano, two_questions, times=8),
)


async def blocks_of(samples: Samples, length: int = SAMPLE_RATE) -> AsyncIterator[Samples]:
    for at in range(0, len(samples), length):
        yield samples[at : at + length]


async def hypotheses(
    recognizer: Recognizer,
    samples: Samples,
    length: int = SAMPLE_RATE,
    request: Request | None = None,
    resume: ResumePoint = FROM_START,
) -> list[Hypothesis]:
    """What is heard in the samples, given in blocks of that length, piece by piece."""
    heard = recognizer.recognize(blocks_of(samples, length), request or Request(), resume)
    return [piece async for piece in heard]


async def recognized(
    recognizer: Recognizer,
    samples: Samples,
    length: int = SAMPLE_RATE,
    request: Request | None = None,
) -> list[Segment]:
    """What is heard in the samples, given in blocks of that length."""
    return said(await hypotheses(recognizer, samples, length, request))


def said(heard: list[Hypothesis]) -> list[Segment]:
    return [segment for piece in heard for segment in piece.segments]


def hear(recognizer: Recognizer, samples: Samples, request: Request | None = None) -> list[Segment]:
    return run(recognized(recognizer, samples, request=request))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run in the loop that all tests of recognisers share: an engine lives in one loop."""
    return _runner().run(work)


@cache
def _runner() -> asyncio.Runner:
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner
