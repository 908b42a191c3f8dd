"""What `SphinxRecognizer` promises besides `test_recognizer.py`: its child processes."""

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from threading import Lock

import numpy as np
import psutil
import pytest

from events.documents import Request, Segment
from functions.transcribe.recognizer import Samples
from functions.transcribe.sphinx.children import Child
from functions.transcribe.sphinx.decoder import serve_utterances
from functions.transcribe.sphinx.recognizer import SphinxRecognizer
from shared.audio.pcm import SAMPLE_RATE
from shared.errors import Permanent, Transient
from tests.bench.noises import noises
from tests.support.recognizers import hear, recognized, two_voices


@pytest.fixture(scope="module")
def speech() -> Samples:
    return two_voices().samples


@pytest.fixture(scope="module")
def recognizer() -> Iterator[SphinxRecognizer]:
    recognizer = SphinxRecognizer(processes=2)
    asyncio.run(recognizer.warm())
    yield recognizer
    asyncio.run(recognizer.close())


@pytest.fixture
def cold() -> Iterator[SphinxRecognizer]:
    """One with two children of its own, none of them started."""
    recognizer = SphinxRecognizer(processes=2)
    yield recognizer
    asyncio.run(recognizer.close())


@pytest.fixture(scope="module")
def segments(recognizer: SphinxRecognizer, speech: Samples) -> list[Segment]:
    return hear(recognizer, speech)


@pytest.mark.parametrize("language", ["de", "fr"])
def test_another_language_than_its_own_is_refused(
    recognizer: SphinxRecognizer, speech: Samples, language: str
) -> None:
    with pytest.raises(Permanent, match=language) as refused:
        hear(recognizer, speech, Request(language=language))
    assert refused.value.code == "unsupported_language"


def test_a_translation_is_refused(recognizer: SphinxRecognizer, speech: Samples) -> None:
    with pytest.raises(Permanent, match="cannot translate") as refused:
        hear(recognizer, speech, Request(task="translate"))
    assert refused.value.code == "unsupported_task"


@pytest.mark.parametrize(
    "sound",
    [
        "busy tone",
        "melody with vibrato",
        "music-like chords",
        "music-like chords and drums",
        "North American ringback",
        "ringback tone",
    ],
)
def test_tones_are_not_taken_for_words(recognizer: SphinxRecognizer, sound: str) -> None:
    assert hear(recognizer, noises()[sound][: 8 * SAMPLE_RATE]) == []


def test_words_after_a_ringback_are_heard(recognizer: SphinxRecognizer, speech: Samples) -> None:
    ring = noises()["North American ringback"][: 2 * SAMPLE_RATE]
    heard = hear(recognizer, np.concatenate((ring, speech)))
    assert "sounds good to me" in " ".join(segment.text for segment in heard)


def children() -> set[int]:
    """The processes that this one has started and that live."""
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}


def worked(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    return psutil.Process(pid).cpu_times().user


async def at_work(idle: dict[int, float]) -> int:
    """A child that has used more than it had when it was idle."""
    while True:
        for pid, seconds in idle.items():
            if worked(pid) > seconds + 0.05:
                return pid
        await asyncio.sleep(0)


def test_a_killed_child_is_transient_and_the_next_call_works(
    recognizer: SphinxRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    async def kill() -> None:
        os.kill(await at_work({pid: worked(pid) for pid in children()}), signal.SIGKILL)

    async def listen() -> None:
        await asyncio.gather(recognized(recognizer, np.tile(speech, 20)), kill())

    with pytest.raises(Transient):
        asyncio.run(listen())
    assert hear(recognizer, speech) == segments


def test_a_call_outlives_the_child_of_another(
    recognizer: SphinxRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    async def listen() -> list[list[Segment] | BaseException]:
        calls = [asyncio.create_task(recognized(recognizer, speech)) for _ in range(3)]
        os.kill(await at_work({pid: worked(pid) for pid in children()}), signal.SIGKILL)
        return await asyncio.gather(*calls, return_exceptions=True)

    heard = asyncio.run(listen())
    assert [call for call in heard if isinstance(call, list)] == [segments] * 2
    assert [type(call) for call in heard if isinstance(call, BaseException)] == [Transient]


def test_children_that_died_idle_are_replaced(
    recognizer: SphinxRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    assert hear(recognizer, speech) == segments


def test_a_child_that_hangs_is_transient_and_is_replaced(
    recognizer: SphinxRecognizer,
    speech: Samples,
    segments: list[Segment],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asyncio.run(recognizer.warm())
    with monkeypatch.context() as limits:
        limits.setattr("functions.transcribe.sphinx.children.START_LIMIT", 0.05)
        limits.setattr("functions.transcribe.sphinx.children.SLOWEST", 0.0)
        limits.setattr("functions.transcribe.sphinx.children.END_LIMIT", 0.05)
        hanging = children()
        for pid in hanging:
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(Transient, match="hangs"):
            hear(recognizer, speech)
    for pid in hanging & children():
        os.kill(pid, signal.SIGKILL)
    assert hear(recognizer, speech) == segments


def test_a_child_that_hangs_while_a_long_utterance_is_sent_is_transient_and_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child, others = Child(Lock()), children()
    child.decode(b"")
    (pid,) = children() - others
    os.kill(pid, signal.SIGSTOP)
    with monkeypatch.context() as limits:
        limits.setattr("functions.transcribe.sphinx.children.START_LIMIT", 0.05)
        limits.setattr("functions.transcribe.sphinx.children.SLOWEST", 0.0)
        with pytest.raises(Transient, match="hangs"):
            child.decode(bytes(20 * 2 * SAMPLE_RATE))
    assert child.decode(b"") == []
    child.stop()


def test_a_child_that_could_not_start_is_transient_and_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: SpawnProcess) -> None:
        raise BlockingIOError("no more processes")

    child = Child(Lock())
    with monkeypatch.context() as patch:
        patch.setattr(SpawnProcess, "start", fail)
        for _ in range(2):
            with pytest.raises(Transient, match="no more processes"):
                child.decode(b"")
    assert child.decode(b"") == []
    child.stop()


def test_calls_at_the_same_time_are_heard_by_all_children_alike(
    recognizer: SphinxRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    asyncio.run(recognizer.warm())
    before = {pid: worked(pid) for pid in children()}

    async def listen() -> list[list[Segment]]:
        return await asyncio.gather(*(recognized(recognizer, speech) for _ in range(3)))

    assert asyncio.run(listen()) == [segments] * 3
    assert len(before) == 2
    assert all(worked(pid) > seconds + 0.05 for pid, seconds in before.items())


def test_a_child_starts_when_it_is_needed_and_all_when_warmed(
    recognizer: SphinxRecognizer,
    cold: SphinxRecognizer,
    speech: Samples,
    segments: list[Segment],
) -> None:
    others = children()
    first = round((segments[0].end_time + segments[1].start_time) / 2 * SAMPLE_RATE)
    assert hear(cold, speech[:first]) == segments[:1]
    assert len(children() - others) == 1
    asyncio.run(cold.warm())
    assert len(children() - others) == 2
    asyncio.run(cold.close())
    assert children() <= others
    assert hear(recognizer, speech) == segments


def test_the_engine_names_its_model() -> None:
    assert SphinxRecognizer().engine.revision.endswith(" en-us")


ORPHAN = """
import asyncio, multiprocessing, signal
from functions.transcribe.sphinx.recognizer import SphinxRecognizer

async def main():
    recognizer = SphinxRecognizer()
    await recognizer.warm()
    print(multiprocessing.active_children()[0].pid, flush=True)
    signal.pause()

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", ORPHAN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_the_child_ends_with_a_killed_parent(parent: subprocess.Popen[str]) -> None:
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs([child], timeout=20)
    assert gone or alive[0].status() == psutil.STATUS_ZOMBIE


def test_an_error_of_a_child_is_one_json_line(capfd: pytest.CaptureFixture[str]) -> None:
    spawn = multiprocessing.get_context("spawn")
    child = spawn.Process(target=serve_utterances, args=(None,))
    child.start()
    child.join()
    written = capfd.readouterr()
    line = json.loads(written.out)
    assert (line["event"], written.err, child.exitcode) == ("sphinx_crashed", "", 1)
    assert "AttributeError" in line["exception"]
