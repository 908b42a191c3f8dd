import io
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from infra.evaluation.truth import load_truth
from tests.calls import speak
from tests.calls.speak import RATE, Line, Script, audible, load_script, noise_floor

CALLS = Path(__file__).parent.parent / "calls"

needs_flite = pytest.mark.skipif(
    shutil.which("flite") is None, reason="no flite here: apt-get install flite"
)


@needs_flite
@pytest.mark.parametrize("name", ["support", "unseen", "nano"])
def test_speaking_a_script_again_gives_the_same_recording_and_truth(name: str) -> None:
    call = speak.speak(load_script(CALLS / f"{name}.toml"))
    same = call.wav == (CALLS / f"{name}.wav").read_bytes()
    assert same, f"{name}.wav is not what flite makes of {name}.toml"
    assert call.truth == load_truth(CALLS / f"{name}.truth.json")


@pytest.mark.parametrize("name", ["support", "unseen", "nano"])
def test_a_recording_is_stereo_and_as_long_as_its_truth_says(name: str) -> None:
    with wave.open(str(CALLS / f"{name}.wav")) as recording:
        assert (recording.getnchannels(), recording.getsampwidth()) == (2, 2)
        assert recording.getframerate() == RATE
        assert recording.getnframes() / RATE == load_truth(CALLS / f"{name}.truth.json").duration


@pytest.mark.parametrize("name", ["support", "unseen", "nano"])
def test_a_truth_tells_its_script(name: str) -> None:
    written = load_script(CALLS / f"{name}.toml").turns
    told = load_truth(CALLS / f"{name}.truth.json").turns
    assert [(turn.speaker, turn.text) for turn in told] == [
        (line.speaker, line.text) for line in written
    ]


def test_turns_follow_by_their_pauses_on_their_own_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tone = np.repeat(np.array([0, 5000, 0], dtype=np.int16), (800, RATE, 800))
    monkeypatch.setattr(speak, "synthesise", lambda _: tone)
    call = speak.speak(
        Script(
            turns=(
                Line(speaker="left", pause=0.5, text="one"),
                Line(speaker="right", pause=-0.25, text="two"),
            )
        )
    )
    times = [(turn.start_time, turn.end_time) for turn in call.truth.turns]
    assert times == [(0.5, 1.5), (1.25, 2.25)]
    assert spoken_seconds(call.wav) == times


def spoken_seconds(wav: bytes) -> list[tuple[float, float]]:
    with wave.open(io.BytesIO(wav)) as recording:
        frames = recording.readframes(recording.getnframes())
    left_right = np.frombuffer(frames, dtype="<i2").reshape(-1, 2).T
    ranges = [audible(channel) for channel in left_right]
    return [(start / RATE, end / RATE) for start, end in ranges]


def test_the_noise_floor_is_at_minus_seventy_decibels() -> None:
    noise = noise_floor(RATE) / 2**15
    assert 20 * np.log10(np.sqrt(np.mean(noise**2))) == pytest.approx(-70, abs=0.2)


def test_without_flite_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="install Debian's flite"):
        speak.flite()
