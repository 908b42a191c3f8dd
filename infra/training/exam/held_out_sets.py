"""The test sets: calls and clips of held-out sentences, and recordings without speech.

espeak-ng's voices are held out as well; flite has too few. Equal on every machine that has the
same synthesisers.
"""

import json
import random
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from infra.training.data.mel import RATE, Audio
from infra.training.data.utterances import Word
from infra.training.speech import grammar
from infra.training.speech.spoken import Spoken
from infra.training.speech.voices import HELD_OUT, flite, random_espeak, random_flite

Speaker: TypeAlias = Callable[[random.Random, str], Spoken | None]
INDEX = "index.json"
SALAD_SHARE = 0.15
LOUDNESS = 0.6
CALL = 55.0
"""Seconds until the last sentence of a call may begin."""
FLITE_PITCH = {"rms": 102.5, "slt": 177.5}
LOW_RATE = 8_000
SNR = 18.0


@dataclass(frozen=True)
class SpokenSentence:
    """A spoken sentence with its times in seconds of the recording."""

    text: str
    words: tuple[Word, ...]

    @property
    def start(self) -> float:
        return self.words[0].start

    @property
    def end(self) -> float:
        return self.words[-1].end


@dataclass
class Channel:
    """Samples at 16 kHz, and the sentences spoken in them."""

    audio: Audio
    said: list[SpokenSentence] = field(default_factory=list)

    def add(self, spoken: Spoken, at: float) -> None:
        """Mix speech into the channel, so many seconds from the start."""
        start = int(at * RATE)
        self.audio[start : start + len(spoken.audio)] += LOUDNESS * spoken.audio
        words = (Word(word, at + begin, at + end) for word, begin, end in spoken.words)
        self.said.append(SpokenSentence(spoken.text, tuple(words)))

    def until(self, seconds: float) -> "Channel":
        """Return the channel up to a time."""
        return Channel(self.audio[: int(seconds * RATE)], self.said)


@dataclass(frozen=True)
class Recording:
    """A file of a test set, with the sentences of each channel."""

    path: Path
    channels: tuple[tuple[SpokenSentence, ...], ...]


def held_out_sets(folder: Path, size: int) -> dict[str, list[Recording]]:
    """The sets in a folder, which are made there first if it has none.

    `size` calls each, ten times as many clips.
    """
    if not (folder / INDEX).exists():
        _make(folder, size)
    index = json.loads((folder / INDEX).read_bytes())
    return {
        name: [Recording(folder / file, _channels(channels)) for file, channels in files.items()]
        for name, files in index.items()
    }


def _channels(channels: list[Any]) -> tuple[tuple[SpokenSentence, ...], ...]:
    return tuple(
        tuple(SpokenSentence(text, tuple(Word(*word) for word in words)) for text, words in said)
        for said in channels
    )


def _make(folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, dict[str, list[Any]]] = {}
    for name, channels, rate in _recordings(size):
        files = index.setdefault(name, {})
        file = f"{name}-{len(files)}.wav".replace(" ", "-")
        write_wav(folder / file, [channel.audio for channel in channels], rate)
        files[file] = [[(one.text, one.words) for one in c.said] for c in channels]
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def _recordings(size: int) -> Iterator[tuple[str, list[Channel], int]]:
    """The name of a set, a recording's channels, its samples a second."""
    rng = random.Random(2024)
    for _ in range(size):
        voices = rng.sample(HELD_OUT, 2)
        yield "espeak calls", call(rng, [_espeak([voice]) for voice in voices], 1), RATE
        stereo = call(rng, [_flite("rms"), _flite("slt")], 2)
        yield "flite calls", stereo, RATE
        for name, snr in (("flite 8 kHz", None), ("flite 8 kHz, 18 dB", SNR)):
            narrow = [Channel(telephone(rng, one.audio, snr), one.said) for one in stereo]
            yield name, narrow, LOW_RATE
    for number in range(size * 10):
        yield "clips", [clip(rng, _espeak(HELD_OUT), lead=rng.uniform(0.1, 0.6), tail=0.5)], RATE
        speaker = (_espeak(HELD_OUT), random_flite)[number % 2]
        yield "short clips", [clip(rng, speaker, longest=2.0)], RATE
    for level in (0.0, 0.0005, 0.003, 0.01, 0.05):
        for seconds in (3, 20, 45):
            noise = np.random.default_rng(seconds).standard_normal(seconds * RATE)
            yield "silence and noise", [Channel((level * noise).astype(np.float32))], RATE


def _espeak(variants: Sequence[str]) -> Speaker:
    return lambda rng, text: random_espeak(rng, text, variants)


def _flite(name: str) -> Speaker:
    pitch = FLITE_PITCH[name]
    return lambda rng, text: flite().say(text, name, stretch=rng.uniform(0.9, 1.15), pitch=pitch)


def clip(
    rng: random.Random,
    speaker: Speaker,
    *,
    lead: float = 0.0,
    tail: float = 0.0,
    longest: float = 14.0,
) -> Channel:
    """One sentence with so many seconds of silence before and after it."""
    spoken = _sentence(rng, speaker, longest)
    seconds = lead + spoken.seconds + tail
    channel = Channel(np.zeros(int(seconds * RATE) + 1, np.float32))
    channel.add(spoken, lead)
    return channel


def call(rng: random.Random, speakers: Sequence[Speaker], channels: int) -> list[Channel]:
    """A conversation, each speaker on a channel, or all on the only one."""
    made = [Channel(np.zeros(int((CALL + 30) * RATE), np.float32)) for _ in range(channels)]
    at, turn = rng.uniform(0.2, 1.5), 0
    while at < CALL:
        spoken = _sentence(rng, speakers[turn % len(speakers)], 20.0)
        made[turn % channels].add(spoken, at)
        pause = rng.uniform(0.15, 0.9) if rng.random() < 0.85 else rng.uniform(1, 4)
        at += spoken.seconds + pause
        turn += rng.random() < 0.7
    return [channel.until(at + 0.2) for channel in made]


def _sentence(rng: random.Random, speaker: Speaker, longest: float) -> Spoken:
    while True:
        spoken = speaker(rng, grammar.draw(rng, SALAD_SHARE, held_out=True))
        if spoken and spoken.seconds <= longest:
            return spoken


def telephone(rng: random.Random, audio: Audio, snr: float | None) -> Audio:
    """200 to 3600 Hz at 8 kHz; with noise so many dB below the mean of the whole channel."""
    if snr is not None:
        noise = np.random.default_rng(rng.randrange(2**31)).standard_normal(len(audio))
        audio = audio + noise * np.sqrt((audio**2).mean()) * 10 ** (-snr / 20)
    spectrum = np.fft.rfft(audio)
    hertz = np.fft.rfftfreq(len(audio), 1 / RATE)
    spectrum[(hertz > 3600) | (hertz < 200)] = 0
    return np.fft.irfft(spectrum, len(audio))[::2].astype(np.float32)


def write_wav(path: Path, channels: Sequence[Audio], rate: int) -> None:
    """Write a 16-bit WAV file."""
    samples = (np.clip(np.stack(channels, 1), -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
