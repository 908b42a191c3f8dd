"""`SphinxRecognizer` keeps the promises of `Recognizer`, with the real engine and real speech."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import psutil
import pytest

from events.documents import Request, Segment
from functions.transcribe.recognizer import SAMPLE_RATE, Recognizer, Samples
from functions.transcribe.sphinx import SphinxRecognizer
from shared.errors import Transient

SPEECH = Path(__file__).parent.parent / "data" / "speech" / "two-voices.wav"
SPOKEN = (
    ("that sounds good to me", 0.5, 2.068),
    ("is there anything else that i can help you with today", 2.818, 5.611),
)
"""What is said in it, from and until when in seconds."""


@pytest.fixture(scope="module")
def speech() -> Samples:
    with wave.open(str(SPEECH)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.fixture(scope="module")
def recognizer() -> Iterator[SphinxRecognizer]:
    recognizer = SphinxRecognizer()
    asyncio.run(recognizer.warm())
    yield recognizer
    asyncio.run(recognizer.close())


async def blocks_of(samples: Samples, length: int = SAMPLE_RATE) -> AsyncIterator[Samples]:
    for at in range(0, len(samples), length):
        yield samples[at : at + length]


async def recognized(
    recognizer: Recognizer, samples: Samples, length: int = SAMPLE_RATE
) -> list[Segment]:
    segments = recognizer.recognize(blocks_of(samples, length), Request())
    return [segment async for segment in segments]


@pytest.fixture(scope="module")
def segments(recognizer: SphinxRecognizer, speech: Samples) -> list[Segment]:
    return asyncio.run(recognized(recognizer, speech))


def test_each_utterance_becomes_a_segment_with_its_words(segments: list[Segment]) -> None:
    assert [segment.text for segment in segments] == [text for text, _, _ in SPOKEN]
    assert [" ".join(word.word for word in s.words) for s in segments] == [s.text for s in segments]


def test_times_lie_where_the_words_were_said(segments: list[Segment]) -> None:
    for segment, (_, start, end) in zip(segments, SPOKEN, strict=True):
        assert segment.start_time == pytest.approx(start, abs=0.2)
        assert segment.end_time == pytest.approx(end, abs=0.2)
        assert segment.start_time == segment.words[0].start_time
        assert segment.end_time == segment.words[-1].end_time


def test_words_follow_each_other(segments: list[Segment]) -> None:
    times = [t for s in segments for word in s.words for t in (word.start_time, word.end_time)]
    assert times == sorted(times)


def test_confidence_is_high_where_the_engine_is_right(segments: list[Segment]) -> None:
    assert all(segment.confidence > 0.5 for segment in segments)


def test_equal_samples_give_equal_segments_whatever_came_before(
    recognizer: SphinxRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    louder_and_backwards = np.clip(speech[::-1].astype(np.int32) * 3, -32_768, 32_767)
    asyncio.run(recognized(recognizer, louder_and_backwards.astype(np.int16)))
    assert asyncio.run(recognized(recognizer, speech, length=777)) == segments


def test_two_channels_at_once_do_not_mix(
    recognizer: SphinxRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    async def both() -> tuple[list[Segment], list[Segment]]:
        half = speech[: round(2.4 * SAMPLE_RATE)]
        return await asyncio.gather(recognized(recognizer, speech), recognized(recognizer, half))

    whole, first = asyncio.run(both())
    assert whole == segments
    assert [segment.text for segment in first] == [segments[0].text]


@pytest.mark.parametrize("seconds", [0, 0.01, 3])
def test_silence_yields_no_segments(recognizer: SphinxRecognizer, seconds: float) -> None:
    silence = np.zeros(round(seconds * SAMPLE_RATE), np.int16)
    assert asyncio.run(recognized(recognizer, silence)) == []


def test_the_loop_turns_while_an_utterance_is_decoded(
    recognizer: SphinxRecognizer, speech: Samples
) -> None:
    finished = []

    async def turns() -> None:
        for _ in range(1000):
            await asyncio.sleep(0)
        finished.append("turns")

    async def hear() -> None:
        await recognized(recognizer, speech)
        finished.append("segments")

    async def race() -> None:
        await asyncio.gather(hear(), turns())

    asyncio.run(race())
    assert finished == ["turns", "segments"]


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

    async def hear() -> None:
        await asyncio.gather(recognized(recognizer, np.tile(speech, 20)), kill())

    with pytest.raises(Transient):
        asyncio.run(hear())
    assert asyncio.run(recognized(recognizer, speech)) == segments


def test_a_child_that_died_idle_is_replaced(
    recognizer: SphinxRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    (child,) = multiprocessing.active_children()
    child.kill()
    child.join()
    assert asyncio.run(recognized(recognizer, speech)) == segments


def test_leaving_early_hangs_nothing(
    recognizer: SphinxRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    async def leave() -> None:
        endless = np.tile(speech, 50)
        async with aclosing(recognizer.recognize(blocks_of(endless), Request())) as heard:
            async for _ in heard:
                break

    asyncio.run(leave())
    assert asyncio.run(recognized(recognizer, speech)) == segments


def test_a_cancelled_call_leaves_the_engine_usable(
    recognizer: SphinxRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    async def cancel() -> None:
        decoding = asyncio.Event()

        async def blocks() -> AsyncIterator[Samples]:
            yield np.tile(speech, 2)
            decoding.set()
            await asyncio.Event().wait()

        async def hear() -> None:
            async for _ in recognizer.recognize(blocks(), Request()):
                pass

        call = asyncio.create_task(hear())
        await decoding.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(cancel())
    assert asyncio.run(recognized(recognizer, speech)) == segments


def test_the_engine_says_what_it_is() -> None:
    engine = SphinxRecognizer().engine
    assert engine.name == "sphinx"
    assert engine.revision.endswith(" en-us")
    assert len(engine.digest) == 64


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
