"""A call goes in and faster-whisper hears it, through every real part.

The model is the one that is made for tests: it knows the sentences of this call only.
"""

import os
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from infra.evaluation.truth import load_truth
from infra.evaluation.word_errors import turn_order_errors
from tests.bench.composed import composed, written
from tests.bench.words import errors
from tests.calls import direct
from tests.support.recognizers import NANO, NANO_CALL
from tests.support.stacks import POCWHISP, ROOT, Body, RunningStack, running

TRUTH = load_truth(NANO_CALL.with_suffix(".truth.json"))
THREADS = 1
ENGINE = {
    "RECOGNIZER": "whisper",
    "WHISPER_MODEL": str(NANO),
    "WHISPER_COMPUTE_TYPE": "int8",
    "WHISPER_THREADS": str(THREADS),
}


@pytest.fixture(scope="module")
def whisper_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running(tmp_path_factory.mktemp("whisper"), **ENGINE) as stack:
        yield stack


@pytest.fixture(scope="module")
def call(whisper_stack: RunningStack) -> Body:
    response = whisper_stack.post(NANO_CALL, wait="90")
    assert response.status_code == 200, response.text
    body: Body = response.json()
    return body


def test_the_body_says_that_whisper_heard_it_and_nothing_stood_in_for_it(call: Body) -> None:
    assert call["status"] == "completed"
    versions = call["metadata"]["model_versions"]
    assert versions["whisper"] == versions["recognizer"]
    assert versions["whisper"].startswith(f"whisper-nano {version('faster-whisper')}+")
    assert not [mark for mark in call["metadata"]["degraded"] if mark.startswith("recognizer")]


def test_hardly_more_words_are_wrong_than_by_calling_faster_whisper_directly(
    call: Body, whisper_stack: RunningStack, tmp_path: Path
) -> None:
    """In the nano call and longer ones of its sentences together: a single call is chance."""
    longer = [composed(180.0, seed) for seed in (1, 2)]
    truths = [TRUTH, *(truth for _, truth in longer)]
    files = [written(tmp_path / f"{n}.wav", samples) for n, (samples, _) in enumerate(longer)]
    bodies = [call, *(whisper_stack.post(file, wait="90").json() for file in files)]
    ours = errors(truths, [body["transcript"]["segments"] for body in bodies])
    peers = [direct.recognised(file, NANO, THREADS) for file in (NANO_CALL, *files)]
    assert ours <= errors(truths, [peer.sequential for peer in peers])
    # One phrase that so small a model mishears is a word in a hundred, and whether it does depends
    # on the processor's int8. `python -m tests.bench words` compares more speech.
    assert ours <= errors(truths, [peer.batched for peer in peers]) + 0.02
    assert ours <= 0.1


def test_every_turn_is_in_true_order_with_the_right_speaker(call: Body) -> None:
    assert turn_order_errors(TRUTH, call["transcript"]["segments"]) == []


def test_segments_are_their_words(call: Body) -> None:
    for segment in call["transcript"]["segments"]:
        words = segment["words"]
        assert segment["text"] == " ".join(word["word"] for word in words)
        assert segment["start_time"] == words[0]["start_time"]
        assert segment["end_time"] == words[-1]["end_time"]
        assert 0 < segment["confidence"] <= 1


def test_without_its_model_the_stack_says_at_once_what_is_missing(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    ran = subprocess.run(
        [*POCWHISP, "up", "--port", "0", "--data", str(tmp_path / "data")],
        env=os.environ | ENGINE | {"WHISPER_MODEL": str(gone)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode
    assert f"No Whisper model at {gone}" in ran.stderr.replace("\n", "")
