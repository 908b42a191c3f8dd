"""The nano call by faster-whisper: through the whole stack, and called directly."""

import tempfile
from pathlib import Path

from infra.evaluation.truth import load_truth
from infra.evaluation.word_errors import ApiSegment, turn_order_errors, word_error_rate
from tests.bench.tables import table
from tests.calls import direct
from tests.support.recognizers import NANO, NANO_CALL
from tests.support.stacks import running

TRUTH = load_truth(NANO_CALL.with_suffix(".truth.json"))
THREADS = 1
HEADINGS = ("way", "WER", "left", "right", "segments", "turn errors")


def section() -> str:
    """The table of the three ways."""
    segments, engine = through_the_stack()
    peers = direct.recognised(NANO_CALL, NANO, THREADS)
    rows = [
        row("PocWhisp, whole pipeline", segments),
        row("`WhisperModel.transcribe`, VAD", peers.sequential),
        row("`BatchedInferencePipeline`", peers.batched),
    ]
    return (
        f"\n## The nano call, {engine}\n\n{table(HEADINGS, rows)}\n"
        "The same model (made for tests, int8, one thread) on the same two channels; the two "
        "peers with their own settings, their segments ordered by start.\n"
    )


def through_the_stack() -> tuple[list[ApiSegment], str]:
    """The segments of the body, and the engine that it names."""
    env = {"RECOGNIZER": "whisper", "WHISPER_MODEL": str(NANO), "WHISPER_COMPUTE_TYPE": "int8"}
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), **env, WHISPER_THREADS=str(THREADS)) as stack,
    ):
        body = stack.post(NANO_CALL, wait="90").json()
    engine = str(body["metadata"]["model_versions"]["whisper"])
    if not engine.startswith("whisper-nano "):
        raise RuntimeError(f"These would not be Whisper's figures but those of {engine}.")
    return body["transcript"]["segments"], engine


def row(name: str, segments: list[ApiSegment]) -> tuple[str, ...]:
    ordered = sorted(segments, key=lambda segment: segment["start_time"])
    return (
        name,
        f"{word_error_rate(TRUTH, ordered):.1%}",
        f"{word_error_rate(TRUTH, ordered, 'left'):.1%}",
        f"{word_error_rate(TRUTH, ordered, 'right'):.1%}",
        str(len(ordered)),
        str(len(turn_order_errors(TRUTH, ordered))),
    )
