"""What `SphinxRecognizer` promises besides `test_recognizer.py`: its child process."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

from events.documents import Request, Segment
from functions.transcribe.recognizer import Samples
from functions.transcribe.sphinx import SphinxRecognizer
from shared.errors import Permanent, Transient
from tests.recognizers import hear, recognized, two_voices


@pytest.fixture(scope="module")
def speech() -> Samples:
    return two_voices().samples


@pytest.fixture(scope="module")
def recognizer() -> Iterator[SphinxRecognizer]:
    recognizer = SphinxRecognizer()
    asyncio.run(recognizer.warm())
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


def test_a_killed_child_is_transient_and_the_next_call_works(
    recognizer: SphinxRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    async def kill() -> None:
        (child,) = multiprocessing.active_children()
        process = psutil.Process(child.pid)
        idle = process.cpu_times().user
        while process.cpu_times().user < idle + 0.05:  # noqa: ASYNC110 - no event from there
            await asyncio.sleep(0)
        child.kill()

    async def listen() -> None:
        await asyncio.gather(recognized(recognizer, np.tile(speech, 20)), kill())

    with pytest.raises(Transient):
        asyncio.run(listen())
    assert hear(recognizer, speech) == segments


def test_a_child_that_died_idle_is_replaced(
    recognizer: SphinxRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    (child,) = multiprocessing.active_children()
    child.kill()
    child.join()
    assert hear(recognizer, speech) == segments


def test_the_engine_names_its_model() -> None:
    assert SphinxRecognizer().engine.revision.endswith(" en-us")


ORPHAN = """
import asyncio, multiprocessing, signal
from functions.transcribe.sphinx import SphinxRecognizer

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
