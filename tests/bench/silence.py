"""Text where nobody speaks, and words of quiet speech, by both engines."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from functions.transcribe.engines import LocalRecognizer
from functions.transcribe.recognizer import Samples
from functions.transcribe.sphinx.recognizer import SphinxRecognizer
from functions.transcribe.whisper.models import find_model
from functions.transcribe.whisper.recognizer import WhisperRecognizer
from infra.evaluation.truth import Truth, load_truth
from infra.evaluation.word_errors import CHANNELS, ApiSegment, WordErrors, total, word_errors
from shared.audio.pcm import SAMPLE_RATE
from tests.bench import packing
from tests.bench.figures import Figure, Part
from tests.bench.hours import CALLS, spurts
from tests.bench.noises import FULL_SCALE, noises
from tests.support.recognizers import NANO, channel, recognized

QUIET = -35.0
"""dBFS, RMS of active speech."""
HEARD_BY = {"nano": ("nano",), "sphinx": ("support", "unseen")}
"""The calls whose words each engine knows."""
NOTE = (
    "Silence: {count} sounds of 20 s each, straight into the recogniser with its usual "
    "settings: digital silence; white and pink noise and hum at -60, -45 and -30 dBFS; ringback "
    "and busy tones; dialled digits; chords, chords with drums, and a melody with vibrato. Quiet "
    "speech: the sample calls that an engine knows the words of, each channel with its speech at "
    f"{QUIET:.0f} dBFS (RMS), against the same at their own level; words heard right of the one "
    "over those of the other. Covered: time of true speech, pauses inside turns left out, that "
    "lies in the windows at that level."
)


@dataclass(frozen=True)
class Side:
    """A channel of a sample call and what is said on it."""

    samples: Samples
    truth: Truth
    number: int

    @property
    def speech(self) -> list[slice]:
        """Where it is speech."""
        speaker = CHANNELS[self.number]
        turns = [turn for turn in self.truth.turns if turn.speaker == speaker]
        places = [
            slice(*(round(at * SAMPLE_RATE) for at in (turn.start_time, turn.end_time)))
            for turn in turns
        ]
        return [
            slice(place.start + spurt.start, place.start + spurt.stop)
            for place in places
            for spurt in spurts(self.samples[place])
        ]

    def at(self, level: float) -> Samples:
        """The channel with its speech at this level."""
        active = np.concatenate([self.samples[place] for place in self.speech]).astype(np.float64)
        factor = FULL_SCALE * 10 ** (level / 20) / np.sqrt((active**2).mean())
        changed: Samples = (
            np.rint(self.samples * factor).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        )
        return changed


def part() -> Part:
    """Both engines: what they make of sounds, and of quiet speech."""
    figures = asyncio.run(measured())
    return Part([*figures, covered()], NOTE.format(count=len(noises())))


async def measured() -> list[Figure]:
    engines: dict[str, LocalRecognizer] = {
        "nano": WhisperRecognizer(find_model(str(NANO), Path("/nowhere"))),
        "sphinx": SphinxRecognizer(),
    }
    figures = []
    for name, engine in engines.items():
        async with closing(engine):
            figures += [await silent(name, engine), await quiet(name, engine)]
    return figures


@asynccontextmanager
async def closing(engine: LocalRecognizer) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await engine.close()


async def silent(name: str, engine: LocalRecognizer) -> Figure:
    found = {sound: await recognized(engine, samples) for sound, samples in noises().items()}
    text = [f"{sound}: {told[0].text!r}" for sound, told in found.items() if told]
    return Figure(
        f"text on silence, noise and music-like tones, {name}",
        "none",
        "; ".join(text) if text else f"none in {len(found)} sounds",
    )


async def quiet(name: str, engine: LocalRecognizer) -> Figure:
    sides = known(HEARD_BY[name])
    usual = total([await errors(engine, side, side.samples) for side in sides])
    soft = total([await errors(engine, side, side.at(QUIET)) for side in sides])
    return Figure(
        f"words heard right at {QUIET:.0f} dBFS ÷ at the usual level, {name}",
        "≥ 99 %",
        f"{right(soft) / right(usual):.1%} ({right(soft)} ÷ {right(usual)} of {usual.words} words)",
    )


def known(calls: Sequence[str]) -> list[Side]:
    return [
        Side(
            channel(CALLS / f"{call}.wav", number), load_truth(CALLS / f"{call}.truth.json"), number
        )
        for call in calls
        for number in range(len(CHANNELS))
    ]


async def errors(engine: LocalRecognizer, side: Side, samples: Samples) -> WordErrors:
    speaker = CHANNELS[side.number]
    told = [
        ApiSegment(speaker=speaker, start_time=one.start_time, end_time=one.end_time, text=one.text)
        for one in await recognized(engine, samples)
    ]
    return word_errors(side.truth, told, speaker)


def right(errors: WordErrors) -> int:
    return errors.words - errors.substituted - errors.deleted


def covered() -> Figure:
    """How much of quiet speech comes to the model at all."""
    inside = spoken = 0
    for side in known(sorted({call for calls in HEARD_BY.values() for call in calls})):
        flags = np.zeros(len(side.samples), np.bool_)
        for window in packing.windows(side.at(QUIET)):
            for span in window.spans:
                flags[span.start : span.end] = True
        inside += sum(int(flags[place].sum()) for place in side.speech)
        spoken += sum(place.stop - place.start for place in side.speech)
    return Figure(
        f"true speech in the windows at {QUIET:.0f} dBFS",
        "≥ 99 %",
        f"{inside / spoken:.1%}",
    )
