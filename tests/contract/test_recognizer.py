"""Every recogniser keeps the promises of `Recognizer`: real engines, real speech."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from difflib import SequenceMatcher

import numpy as np
import pytest

from events.documents import Request, Segment
from functions.transcribe.engines import LocalRecognizer
from functions.transcribe.recognizer import Hypothesis, ResumePoint, Samples
from infra.evaluation.word_errors import normalised_words
from shared.audio.pcm import SAMPLE_RATE
from tests.support.recognizers import (
    TRIED,
    Sample,
    Tried,
    blocks_of,
    hear,
    hypotheses,
    recognized,
    run,
    said,
)


@pytest.fixture(scope="module", params=TRIED, ids=lambda tried: tried.name)
def tried(request: pytest.FixtureRequest) -> Tried:
    found: Tried = request.param
    return found


@pytest.fixture(scope="module")
def recognizer(tried: Tried) -> Iterator[LocalRecognizer]:
    recognizer = tried.make()
    run(recognizer.warm())
    yield recognizer
    run(recognizer.close())


@pytest.fixture(scope="module")
def sample(tried: Tried) -> Sample:
    return tried.sample()


@pytest.fixture(scope="module")
def speech(sample: Sample) -> Samples:
    return sample.samples


@pytest.fixture(scope="module")
def segments(recognizer: LocalRecognizer, speech: Samples) -> list[Segment]:
    return hear(recognizer, speech)


@pytest.fixture(scope="module")
def long(tried: Tried, speech: Samples) -> Samples:
    return np.tile(speech, tried.times)


@pytest.fixture(scope="module")
def hypotheses_of_long(recognizer: LocalRecognizer, long: Samples) -> list[Hypothesis]:
    return run(hypotheses(recognizer, long))


def says(segment: Segment, text: str) -> bool:
    """Whether most of its words are these: a model made for tests mistakes one or two."""
    words = normalised_words(segment.text).split()
    return SequenceMatcher(None, words, text.split()).ratio() >= 0.7


def test_each_utterance_becomes_a_segment_with_its_words(
    segments: list[Segment], sample: Sample
) -> None:
    assert all(map(says, segments, [text for text, _, _ in sample.spoken]))
    assert len(segments) == len(sample.spoken)
    assert [" ".join(word.word for word in s.words) for s in segments] == [s.text for s in segments]


def test_times_lie_where_the_words_were_said(segments: list[Segment], sample: Sample) -> None:
    for segment, (_, start, end) in zip(segments, sample.spoken, strict=True):
        assert start - sample.early <= segment.start_time <= start + 0.2
        assert end - sample.short <= segment.end_time <= end + 0.2
        assert segment.start_time == segment.words[0].start_time
        assert segment.end_time == segment.words[-1].end_time


def test_words_follow_each_other(segments: list[Segment]) -> None:
    times = [t for s in segments for word in s.words for t in (word.start_time, word.end_time)]
    assert times == sorted(times)


def test_confidence_is_high_where_the_engine_is_right(segments: list[Segment]) -> None:
    assert all(segment.confidence > 0.5 for segment in segments)
    for segment in segments:
        mean = sum(word.confidence for word in segment.words) / len(segment.words)
        assert segment.confidence == pytest.approx(mean)


def test_equal_samples_give_equal_segments_whatever_came_before(
    recognizer: LocalRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    louder_and_backwards = np.clip(speech[::-1].astype(np.int32) * 3, -32_768, 32_767)
    hear(recognizer, louder_and_backwards.astype(np.int16))
    assert run(recognized(recognizer, speech, length=777)) == segments


def test_two_channels_at_once_do_not_mix(
    recognizer: LocalRecognizer, sample: Sample, segments: list[Segment]
) -> None:
    (_, _, first_end), (_, second_start, _) = sample.spoken
    half = sample.samples[: round((first_end + second_start) / 2 * SAMPLE_RATE)]

    async def both() -> tuple[list[Segment], list[Segment]]:
        return await asyncio.gather(
            recognized(recognizer, sample.samples), recognized(recognizer, half)
        )

    whole, first = run(both())
    assert whole == segments
    (segment,) = first
    assert says(segment, sample.spoken[0][0])


def test_hypotheses_come_in_order_of_time(
    long: Samples, hypotheses_of_long: list[Hypothesis]
) -> None:
    times = [segment.start_time for segment in said(hypotheses_of_long)]
    assert times == sorted(times)
    assert times[-1] > len(long) / SAMPLE_RATE - 9


def test_what_is_known_is_not_heard_again_and_the_rest_is_the_same(
    recognizer: LocalRecognizer, long: Samples, hypotheses_of_long: list[Hypothesis]
) -> None:
    count, language = len(hypotheses_of_long), hypotheses_of_long[0].language
    assert count > 1
    half = ResumePoint(count // 2, language)
    assert run(hypotheses(recognizer, long, resume=half)) == hypotheses_of_long[count // 2 :]
    assert run(hypotheses(recognizer, long, resume=ResumePoint(count, language))) == []


@pytest.mark.parametrize("seconds", [0, 0.01, 3])
def test_silence_yields_no_segments(recognizer: LocalRecognizer, seconds: float) -> None:
    assert hear(recognizer, np.zeros(round(seconds * SAMPLE_RATE), np.int16)) == []


def test_steady_noise_yields_no_segments(recognizer: LocalRecognizer) -> None:
    noise = np.random.default_rng(0).normal(0, 100, 5 * SAMPLE_RATE).astype(np.int16)
    assert hear(recognizer, noise) == []


def test_the_loop_turns_while_speech_is_recognised(
    recognizer: LocalRecognizer, speech: Samples
) -> None:
    finished = []

    async def turns() -> None:
        for _ in range(1000):
            await asyncio.sleep(0)
        finished.append("turns")

    async def listen() -> None:
        await recognized(recognizer, speech)
        finished.append("segments")

    async def race() -> None:
        await asyncio.gather(listen(), turns())

    run(race())
    assert finished == ["turns", "segments"]


def test_leaving_early_hangs_nothing(
    recognizer: LocalRecognizer, speech: Samples, long: Samples, segments: list[Segment]
) -> None:
    async def leave() -> None:
        async with aclosing(recognizer.recognize(blocks_of(long), Request())) as heard:
            async for _ in heard:
                break

    run(leave())
    assert hear(recognizer, speech) == segments


def test_a_cancelled_call_leaves_the_engine_usable(
    recognizer: LocalRecognizer, speech: Samples, segments: list[Segment]
) -> None:
    async def cancel() -> None:
        listening = asyncio.Event()

        async def blocks() -> AsyncIterator[Samples]:
            yield np.tile(speech, 2)
            listening.set()
            await asyncio.Event().wait()

        async def listen() -> None:
            async for _ in recognizer.recognize(blocks(), Request()):
                pass

        call = asyncio.create_task(listen())
        await listening.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    run(cancel())
    assert hear(recognizer, speech) == segments


def test_the_engine_says_what_it_is(recognizer: LocalRecognizer, tried: Tried) -> None:
    assert recognizer.engine.name.partition("-")[0] == tried.name
    assert recognizer.engine.revision
    assert len(recognizer.engine.digest) == 64
