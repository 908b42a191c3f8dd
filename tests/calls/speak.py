"""Speak a written call: a TOML script in, a stereo recording and its truth out.

``python -m tests.calls.speak tests/calls/support.toml`` writes support.wav and support.truth.json
beside the script. Two runs give the same bytes.
"""

import hashlib
import io
import shutil
import subprocess
import sys
import tomllib
import wave
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from events.base import Channel
from infra.evaluation.truth import Truth, Turn

CHANNELS: tuple[Channel, ...] = get_args(Channel)
VOICES: dict[Channel, str] = {"left": "rms", "right": "slt"}
RATE = 16_000  # samples per second, flite's own for these voices
TAIL = 0.8  # seconds of silence after the last turn
AUDIBLE = 100  # amplitude, about -50 dBFS, that flite's own silence stays below


class Line(BaseModel, frozen=True, extra="forbid"):
    """A turn as written; pause in seconds from the end of the line above, negative to overlap."""

    speaker: Channel
    pause: float
    text: str


class Script(BaseModel, frozen=True, extra="forbid"):
    """A written call; the first line's pause is the silence the call begins with."""

    turns: tuple[Line, ...]


@dataclass(frozen=True)
class Utterance:
    """A line as spoken: mono int16 samples, placed in the call.

    ``offset`` is where the samples go; the speech in them, without flite's own silence at
    either end, lasts from ``start`` to ``end``. All are counted in samples of the call.
    """

    line: Line
    samples: NDArray[np.int16]
    offset: int
    start: int
    end: int


@dataclass(frozen=True)
class SpokenCall:
    """The bytes of a stereo WAV file (16-bit PCM, 16 kHz) and what is said in it."""

    wav: bytes
    truth: Truth


def load_script(path: Path) -> Script:
    """Read a call's TOML script."""
    return Script.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


def speak(script: Script) -> SpokenCall:
    """Synthesise every line and place it on its speaker's channel."""
    utterances = tuple(place(script.turns))
    length = utterances[-1].end + round(TAIL * RATE)
    turns = tuple(timed(utterance) for utterance in utterances)
    return SpokenCall(wav(mix(utterances, length)), Truth(duration=length / RATE, turns=turns))


def place(lines: Iterable[Line]) -> Iterator[Utterance]:
    """Speak the lines one after the other, each its pause after the end of the one above."""
    end = 0
    for line in lines:
        samples = synthesise(line)
        first, last = audible(samples)
        start = end + round(line.pause * RATE)
        end = start + last - first
        yield Utterance(line, samples, start - first, start, end)


def synthesise(line: Line) -> NDArray[np.int16]:
    """Speak one line with flite, in the voice of its speaker."""
    with TemporaryDirectory() as folder:
        spoken = Path(folder, "line.wav")
        command = [flite(), "-voice", VOICES[line.speaker], "-t", line.text, "-o", str(spoken)]
        subprocess.run(command, check=True)
        with wave.open(str(spoken)) as recording:
            return np.frombuffer(recording.readframes(recording.getnframes()), dtype="<i2")


def flite() -> str:
    """Return the path of the flite command, or exit saying how to get it."""
    path = shutil.which("flite")
    if path is None:
        raise SystemExit("flite is not on this machine: install Debian's flite")
    return path


def audible(samples: NDArray[np.int16]) -> tuple[int, int]:
    """Return the half-open range of samples between flite's leading and trailing silence."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) >= AUDIBLE)
    return int(loud[0]), int(loud[-1]) + 1


def timed(utterance: Utterance) -> Turn:
    """Return the utterance as the truth states it, its times in seconds."""
    return Turn(
        speaker=utterance.line.speaker,
        start_time=utterance.start / RATE,
        end_time=utterance.end / RATE,
        text=utterance.line.text,
    )


def mix(utterances: Iterable[Utterance], length: int) -> NDArray[np.int16]:
    """Lay the utterances over the line's noise; (length, 2) samples, left first."""
    call = noise_floor(length)
    for utterance in utterances:
        stop = utterance.offset + len(utterance.samples)
        call[utterance.offset : stop, CHANNELS.index(utterance.line.speaker)] += utterance.samples
    return call.clip(-(2**15), 2**15 - 1).astype("<i2")


def noise_floor(length: int) -> NDArray[np.int32]:
    """Return (length, 2) samples of the same white noise at every call, -70 dBFS (RMS)."""
    digest = hashlib.shake_256(b"pocwhisp").digest(length * 4)
    uniform = np.frombuffer(digest, dtype=np.int8).astype(np.int32).reshape(2, length, 2)
    # Two bytes summed have a deviation of 104.5; 10.4 is -70 dB of 2**15.
    noise: NDArray[np.int32] = (uniform[0] + uniform[1]) // 10
    return noise


def wav(call: NDArray[np.int16]) -> bytes:
    """Wrap (length, 2) samples as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(len(CHANNELS))
        recording.setsampwidth(2)
        recording.setframerate(RATE)
        recording.writeframes(call.tobytes())
    return file.getvalue()


def main(path: Path) -> None:
    """Write the recording and its truth beside the script."""
    call = speak(load_script(path))
    path.with_suffix(".wav").write_bytes(call.wav)
    path.with_suffix(".truth.json").write_text(call.truth.model_dump_json(indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
