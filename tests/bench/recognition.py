"""The whole pipeline against faster-whisper called directly: CPU and throughput."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import cpu, packing
from tests.bench.composed import composed, written
from tests.bench.figures import Figure, Part, paired, ratio
from tests.bench.hours import hour
from tests.bench.parrot import BASE, Shape, parrot
from tests.bench.peers import Peer
from tests.support.recognizers import NANO, channel
from tests.support.stacks import Body, RunningStack, running

THREADS = os.cpu_count() or 1
ACTIVITY = 0.385
"""Part of the time for which each side of a usual call talks."""
LONG, SHORT = 600.0, 120.0
"""Seconds of the call whose CPU is measured, and of each of those that are queued."""
QUEUED = 8
TOKENS = 80
"""What a model of true shape writes per window of ours: 25 s of speech are about 65 words."""
WAIT = "120"
NOTE = (
    "Pipeline: the 16 kHz WAV posted over HTTP to a running stack until its result is there; the "
    "CPU of all of its processes, broker and database included. Direct: `decode_audio` and "
    "`BatchedInferencePipeline` on both channels of the same file in a warm process. Both int8, "
    f"{THREADS} threads, beam 5, batches of 8 windows, word times. nano: a call of its own "
    "sentences. Base-shape: Whisper base's size and random weights, but a position table that has "
    f"it write so many tokens per window whatever it hears: {TOKENS} in ours, fewer in the peer's "
    "windows, of which it makes more, so that a call has equally many. Throughput: "
    f"{QUEUED} calls of {SHORT / 60:.0f} minutes posted at once, until the last result, against "
    "the same files one after the other."
)


@dataclass(frozen=True)
class Calls:
    """A long recording for the CPU, and several to be queued."""

    long: Path
    queued: Sequence[Path]


def part() -> Part:
    """CPU and throughput, nano and base-shape."""
    with tempfile.TemporaryDirectory() as folder:
        nano = Path(folder) / "nano"
        base = Path(folder) / "base"
        figures = [*by_nano(nano), *by_parrots(base, BASE, "base-shape")]
    return Part(figures, NOTE)


def by_nano(data: Path) -> list[Figure]:
    """With the model that is made for tests and its own sentences."""
    calls = recordings(data, lambda seconds, seed: written_call(data, seconds, seed))
    peer = Peer(NANO, THREADS)
    with stack_with(data, NANO) as stack:
        return [
            cpu_figure(stack, peer, calls.long, "nano"),
            throughput_figure(stack, peer, calls.queued, "nano"),
        ]


def written_call(data: Path, seconds: float, seed: int) -> Path:
    return written(data / f"{seed}.wav", composed(seconds, seed)[0])


def by_parrots(data: Path, shape: Shape, name: str, device: str = "cpu") -> list[Figure]:
    """With models of true shape that write equally many tokens per call as the peer's."""
    calls = recordings(data, lambda seconds, seed: written_hour(data, seconds, seed))
    kind = "float16" if device == "cuda" else "int8"

    def peer(*recorded: Path) -> Peer:
        tokens = equal_tokens(recorded)
        return Peer(parrot(data / f"{name}-{tokens}", shape, tokens, kind), THREADS, device)

    env = {"WHISPER_DEVICE": device, "WHISPER_COMPUTE_TYPE": kind}
    with stack_with(data, parrot(data / name, shape, TOKENS, kind), **env) as stack:
        return [
            cpu_figure(stack, peer(calls.long), calls.long, name),
            throughput_figure(stack, peer(*calls.queued), calls.queued, name),
        ]


def written_hour(data: Path, seconds: float, seed: int) -> Path:
    return written(data / f"{seed}.wav", hour(seconds, ACTIVITY, seed).samples)


def recordings(data: Path, make: Callable[[float, int], Path]) -> Calls:
    data.mkdir()
    return Calls(make(LONG, 0), [make(SHORT, seed) for seed in range(1, QUEUED + 1)])


def equal_tokens(calls: Sequence[Path]) -> int:
    """What the peer's model writes per window, to write as much in all as ours does."""
    ours = sum(len(packing.windows(channel(call, side))) for call in calls for side in range(2))
    stock = sum(
        len(packing.stock_windows(samples)) for call in calls for samples in packing.sides(call)
    )
    return round(TOKENS * ours / stock)


@contextmanager
def stack_with(data: Path, model: Path, **env: str) -> Iterator[RunningStack]:
    """A running stack that recognises with the model on as many threads as the peer."""
    settings = {
        "RECOGNIZER": "whisper",
        "WHISPER_MODEL": str(model),
        "WHISPER_COMPUTE_TYPE": "int8",
        "WHISPER_THREADS": str(THREADS),
    }
    (data / "stack").mkdir()
    with running(data / "stack", **{**settings, **env}) as stack:
        yield stack


def cpu_figure(stack: RunningStack, peer: Peer, call: Path, model: str) -> Figure:
    """CPU seconds of one call, in pairs."""
    body, told = posted(stack, call), peer.batched(call)  # warm from here on
    measured = paired(lambda: pipeline_cpu(stack, call), lambda: direct_cpu(peer, call))
    words = sum(len(one["text"].split()) for one in body["transcript"]["segments"])
    return Figure(
        f"CPU seconds, whole pipeline ÷ direct batched call, {model}, {LONG / 60:.0f}-minute call",
        "≤ 1.05",
        f"{ratio(measured)}; "
        f"{words} words ÷ {sum(told.tokens)} tokens in {len(told.tokens)} windows",
    )


def pipeline_cpu(stack: RunningStack, call: Path) -> float:
    before = cpu.of_tree(stack.info.pid)
    posted(stack, call)
    return cpu.of_tree(stack.info.pid) - before


def direct_cpu(peer: Peer, call: Path) -> float:
    before = time.process_time()
    peer.batched(call)
    return time.process_time() - before


def throughput_figure(stack: RunningStack, peer: Peer, calls: Sequence[Path], model: str) -> Figure:
    """Wall time of several calls, in pairs; the pipeline has all of them at once."""
    seconds = paired(lambda: direct_wall(peer, calls), lambda: queued_wall(stack, calls))
    return Figure(
        f"throughput with {QUEUED} calls queued ÷ direct, {model}",
        "≥ 1.25",
        ratio(seconds),
    )


def queued_wall(stack: RunningStack, calls: Sequence[Path]) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(len(calls)) as clients:
        list(clients.map(lambda call: posted(stack, call), calls))
    return time.perf_counter() - started


def direct_wall(peer: Peer, calls: Sequence[Path]) -> float:
    started = time.perf_counter()
    for call in calls:
        peer.batched(call)
    return time.perf_counter() - started


def posted(stack: RunningStack, call: Path) -> Body:
    """The body of a call that is completed."""
    body: Body = stack.post(call, wait=WAIT, language="en").json()
    if body["status"] != "completed":
        body = stack.ended(body["session_id"], seconds=1_800)
    if body["status"] != "completed" or not body["metadata"]["model_versions"]["whisper"]:
        raise RuntimeError(f"Whisper did not recognise {call}: {body}")
    return body
