"""Words that are wrong in calls of held-out sentences: the pipeline's and faster-whisper's."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from infra.evaluation.truth import Truth, load_truth
from infra.evaluation.word_errors import CHANNELS, ApiSegment, total, word_errors
from tests.bench.composed import composed, written
from tests.bench.figures import Figure, Part
from tests.bench.peers import Peer
from tests.bench.recognition import THREADS, posted, stack_with
from tests.support.recognizers import NANO, NANO_CALL

SEEDS = range(100, 104)
SECONDS = 240.0
NOTE = (
    f"WER: the nano call, and {len(SEEDS)} calls of {SECONDS / 60:.0f} minutes of its turns in "
    "other orders and with other pauses; all errors over all words. No sentence of it was in the "
    "model's training. The peers with beam 5, word times and voice activity detection, all else "
    "as it comes."
)


def part() -> Part:
    """ApiWord error rates of all ways, over all calls."""
    with tempfile.TemporaryDirectory() as folder:
        calls = recordings(Path(folder))
        peer = Peer(NANO, THREADS)
        with stack_with(Path(folder), NANO) as stack:
            ours = [posted(stack, call)["transcript"]["segments"] for call, _ in calls]
        truths = [truth for _, truth in calls]
        pipeline = errors(truths, ours)
        sequential = errors(truths, [peer.sequential(call).segments for call, _ in calls])
        batched = errors(truths, [peer.batched(call).segments for call, _ in calls])
    return Part([figure(pipeline, sequential, batched)], NOTE)


def recordings(data: Path) -> list[tuple[Path, Truth]]:
    made = [(seed, composed(SECONDS, seed)) for seed in SEEDS]
    return [
        (NANO_CALL, load_truth(NANO_CALL.with_suffix(".truth.json"))),
        *((written(data / f"{seed}.wav", samples), truth) for seed, (samples, truth) in made),
    ]


def errors(truths: Sequence[Truth], told: Sequence[Sequence[ApiSegment]]) -> float:
    """The word error rate over all calls and channels."""
    rate = total(
        word_errors(truth, segments, speaker)
        for truth, segments in zip(truths, told, strict=True)
        for speaker in CHANNELS
    ).rate
    assert rate is not None
    return rate


def figure(pipeline: float, sequential: float, batched: float) -> Figure:
    return Figure(
        "WER on held-out nano sentences, whole pipeline",
        f"≤ {min(sequential, batched):.1%}, the better of direct sequential and direct batched",
        f"{pipeline:.1%} (sequential {sequential:.1%}, batched {batched:.1%})",
    )
