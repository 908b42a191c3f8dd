"""What `SileroDetector` promises, and what gate and windows keep with it, on real recordings."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import soxr
from faster_whisper.vad import get_vad_model
from numpy.typing import NDArray

from functions.transcribe.recognizer import Samples
from functions.transcribe.whisper.speech.gate import VAD_FRAME, Loudness
from functions.transcribe.whisper.speech.silero import SileroDetector
from functions.transcribe.whisper.speech.spans import Detector, Hysteresis, SpeechSettings
from functions.transcribe.whisper.speech.windows import Window, Windower
from infra.evaluation.truth import load_truth
from shared.audio.pcm import PCM16_FULL_SCALE, SAMPLE_RATE
from tests.bench.hours import CALLS, NAMES, SIDES, hour, spurts
from tests.support.recognizers import channel

ALL = [(name, side) for name in NAMES for side in SIDES]
QUIET = -35
"""dBFS, RMS of active speech."""
everywhere = pytest.mark.parametrize(("name", "side"), ALL)


@cache
def recorded(name: str, side: str) -> Samples:
    return channel(CALLS / f"{name}.wav", SIDES.index(side))


def turns(name: str, side: str) -> Iterator[slice]:
    """Where the side speaks."""
    for turn in load_truth(CALLS / f"{name}.truth.json").turns:
        if turn.speaker == side:
            yield slice(*(round(at * SAMPLE_RATE) for at in (turn.start_time, turn.end_time)))


def spoken(name: str, side: str, values: NDArray[Any]) -> NDArray[Any]:
    """Those of the values, one a sample, at which the side speaks; its pauses left out."""
    samples = recorded(name, side)
    return np.concatenate(
        [values[turn][spurt] for turn in turns(name, side) for spurt in spurts(samples[turn])]
    )


def quiet(name: str, side: str) -> Samples:
    """The channel at such a level that its speech is at `QUIET`."""
    samples = recorded(name, side).astype(np.float64)
    active = spoken(name, side, samples)
    factor = PCM16_FULL_SCALE * 10 ** (QUIET / 20) / np.sqrt((active**2).mean())
    lowered: Samples = np.rint(samples * factor).astype(np.int16)
    return lowered


def telephone(samples: Samples) -> Samples:
    """As an 8 kHz recording would bring it."""
    narrow = soxr.resample(samples, SAMPLE_RATE, SAMPLE_RATE // 2)
    return np.asarray(soxr.resample(narrow, SAMPLE_RATE // 2, SAMPLE_RATE)[: len(samples)])


def hissing(samples: Samples) -> Samples:
    """With white noise of -50 dBFS over it."""
    return over(samples, np.random.default_rng(0).normal(size=len(samples)), -50)


def blowing(samples: Samples) -> Samples:
    """With pink noise of -45 dBFS over it."""
    white = np.fft.rfft(np.random.default_rng(0).normal(size=len(samples)))
    slope = np.sqrt(np.maximum(np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE), 50))
    return over(samples, np.fft.irfft(white / slope, len(samples)), -45)


def over(samples: Samples, noise: NDArray[np.float64], level: float) -> Samples:
    wanted = PCM16_FULL_SCALE * 10 ** (level / 20) / noise.std()
    low, high = -PCM16_FULL_SCALE, PCM16_FULL_SCALE - 1
    mixed: Samples = (samples + wanted * noise).clip(low, high).astype(np.int16)
    return mixed


def frames(samples: Samples) -> NDArray[np.float32]:
    whole = samples[: len(samples) // VAD_FRAME * VAD_FRAME]
    return whole.reshape(-1, VAD_FRAME).astype(np.float32) / np.float32(PCM16_FULL_SCALE)


def by_faster_whisper(samples: Samples) -> NDArray[np.float32]:
    probabilities: NDArray[np.float32] = get_vad_model()(frames(samples).ravel())
    return probabilities


def in_parts(heard: NDArray[np.float32], ends: list[int]) -> NDArray[np.float32]:
    detector = SileroDetector()
    parts = pairwise((0, *ends, len(heard)))
    return np.concatenate(
        [detector.probabilities(heard[first:end], afresh=first == 0) for first, end in parts]
    )


def windows(samples: Samples, detector: Detector | None = None) -> list[Window]:
    windower = Windower(detector or SileroDetector())
    return [*windower.feed(samples), *windower.end()]


def held(samples: Samples) -> NDArray[np.bool_]:
    """Whether each sample is in a window."""
    flags = np.zeros(len(samples), np.bool_)
    for span in (span for window in windows(samples) for span in window.spans):
        flags[span.start : span.end] = True
    return flags


@pytest.mark.parametrize("ends", [[], [1], [0, 1, 2, 3], [500, 501, 1_400]])
def test_probabilities_are_those_of_faster_whisper_however_they_are_asked_for(
    ends: list[int],
) -> None:
    heard = frames(recorded("support", "left"))
    expected = by_faster_whisper(recorded("support", "left"))
    assert in_parts(heard, ends) == pytest.approx(expected, abs=1e-4)


def test_a_detector_that_begins_afresh_has_forgotten_everything() -> None:
    heard = frames(recorded("support", "right"))
    detector = SileroDetector()
    first = detector.probabilities(heard, afresh=True)
    again = detector.probabilities(heard, afresh=True)
    assert np.array_equal(first, again)


def test_channels_that_are_heard_at_the_same_time_do_not_disturb_each_other() -> None:
    heard = [frames(recorded(name, side)) for name, side in ALL]
    with ThreadPoolExecutor(len(heard)) as threads:
        together = list(threads.map(lambda one: in_parts(one, [300, 700]), heard))
    for one, alone in zip(together, heard, strict=True):
        assert np.array_equal(one, in_parts(alone, [300, 700]))


@everywhere
@pytest.mark.parametrize("change", [np.copy, telephone, hissing, blowing])
def test_nothing_is_lost_that_would_be_speech_without_the_gate(
    name: str, side: str, change: Callable[[Samples], Samples]
) -> None:
    samples = change(recorded(name, side))
    talk = Hysteresis(SpeechSettings()).spoken(by_faster_whisper(samples))
    assert held(samples)[: len(talk) * VAD_FRAME].reshape(-1, VAD_FRAME)[talk].all()


@everywhere
def test_quiet_speech_is_kept(name: str, side: str) -> None:
    kept = held(quiet(name, side))
    assert spoken(name, side, kept).mean() >= 0.995


def test_windows_of_a_busy_call_are_full() -> None:
    talk = hour(20 * 60, 0.385, 7)
    for side in (0, 1):
        found = windows(np.ascontiguousarray(talk.samples[:, side]))
        assert len(found) / (talk.speech(side) / 30) <= 1.25


def test_the_gate_spares_the_detector_most_of_the_silence() -> None:
    talk = hour(10 * 60, 0.385, 8)
    counting = Counting()
    windows(np.ascontiguousarray(talk.samples[:, 0]), counting)
    assert counting.frames < 0.55 * len(talk.samples) / VAD_FRAME
    assert counting.frames > talk.speech(0) * SAMPLE_RATE / VAD_FRAME
    assert counting.afresh < counting.frames / Loudness().around


class Counting(SileroDetector):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = 0
        self.afresh = 0

    def probabilities(self, frames: NDArray[np.float32], *, afresh: bool) -> NDArray[np.float32]:
        self.frames += len(frames)
        self.afresh += afresh
        return super().probabilities(frames, afresh=afresh)
