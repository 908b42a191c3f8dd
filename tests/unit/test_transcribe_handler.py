"""The handler of transcribe on small fakes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from events import (
    Event,
)
from events.base import Channel
from events.documents import (
    ChannelTranscript,
    Engine,
    Request,
    Segment,
)
from functions.transcribe.handler import transcribe
from functions.transcribe.recognizer import Samples
from shared.blobs import ObjectBlobs
from shared.errors import Missing, Permanent
from shared.wav import pcm16_header
from tests.examples import (
    ENGINE,
    RECORDING,
    cut,
    segment,
    stream,
    transcribed,
    was_split,
)
from tests.handlers import KEY, REQUEST, run


@dataclass
class SumRecognizer:
    """Says one word per recording: the sum of its samples."""

    engine: Engine = ENGINE
    requests: list[Request] = field(default_factory=list)

    async def recognize(
        self, blocks: AsyncIterator[Samples], request: Request
    ) -> AsyncIterator[Segment]:
        self.requests.append(request)
        total = 0
        async for block in blocks:
            total += int(block.sum(dtype=np.int64))
        yield segment(0, 1, f"sum {total}")


async def store_channels(blobs: ObjectBlobs, **values: int) -> None:
    """Write a channel per name with 10 samples of that value."""
    for name, value in values.items():
        body = np.full(10, value, "<i2").tobytes()
        await blobs.put(KEY.audio(name), stream([pcm16_header(10, 16_000), body]))


async def transcribe_in(
    blobs: ObjectBlobs,
    recognizer: SumRecognizer,
    serves: tuple[Channel, ...] = ("left", "right"),
    channels: tuple[Channel, ...] = ("left", "right"),
) -> tuple[Event, ...]:
    return await transcribe(
        was_split(channels=channels),
        blobs=blobs,
        recognizer=recognizer,
        serves=serves,
        degraded=("recognizer:test",),
    )


async def said_on(blobs: ObjectBlobs, channel: Channel) -> str | None:
    kept = await blobs.get_json(KEY.channel_transcript(channel), ChannelTranscript)
    return None if kept is None else kept.segments[0].text


def test_every_channel_gets_the_words_of_its_own_samples(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        events = await transcribe_in(blobs, SumRecognizer())
        assert events == (transcribed("left"), transcribed("right"))
        assert await said_on(blobs, "left") == "sum 70"
        assert await said_on(blobs, "right") == "sum -30"

    run(work())


def test_only_the_served_channel_is_transcribed(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        events = await transcribe_in(blobs, SumRecognizer(), serves=("right",))
        assert events == (transcribed("right"),)
        assert await said_on(blobs, "left") is None

    run(work())


def test_a_mono_recording_is_nothing_to_do_for_the_right_channel(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7)
        mono: tuple[Channel, ...] = ("left",)
        assert await transcribe_in(blobs, SumRecognizer(), ("right",), mono) == ()
        assert await transcribe_in(blobs, SumRecognizer(), ("left",), mono) == (
            transcribed("left", channels=mono),
        )

    run(work())


def test_what_was_transcribed_is_not_transcribed_again(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        recognizer = SumRecognizer()
        first = await transcribe_in(blobs, recognizer)
        assert await transcribe_in(blobs, recognizer) == first
        assert len(recognizer.requests) == 2

    run(work())


def test_another_revision_of_the_engine_transcribes_again(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        await transcribe_in(blobs, SumRecognizer())
        newer = SumRecognizer(ENGINE.model_copy(update={"revision": "2"}))
        await transcribe_in(blobs, newer)
        kept = await blobs.get_json(KEY.channel_transcript("left"), ChannelTranscript)
        assert len(newer.requests) == 2
        assert kept is not None
        assert kept.engine.revision == "2"

    run(work())


def test_another_request_transcribes_again(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        recognizer = SumRecognizer()
        await transcribe_in(blobs, recognizer)
        await blobs.put_json(was_split().recording_key.request, REQUEST)
        await transcribe_in(blobs, recognizer)
        assert recognizer.requests == [Request(), Request(), REQUEST, REQUEST]

    run(work())


def test_a_transcript_says_who_made_it(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        await transcribe_in(blobs, SumRecognizer())
        kept = await blobs.get_json(KEY.channel_transcript("right"), ChannelTranscript)
        assert kept is not None
        assert (kept.recording, kept.run, kept.channel) == (RECORDING, 1, "right")
        assert (kept.engine, kept.degraded) == (ENGINE, ("recognizer:test",))

    run(work())


def test_a_channel_that_is_not_there_is_missing(blobs: ObjectBlobs) -> None:
    with pytest.raises(Missing):
        asyncio.run(transcribe_in(blobs, SumRecognizer()))


def test_a_channel_that_is_no_wav_is_given_up(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put(KEY.audio("left"), stream([b"hello, world"]))
        await transcribe_in(blobs, SumRecognizer())

    with pytest.raises(Permanent, match="RIFF/WAVE"):
        run(work())


class CutBlobs(ObjectBlobs):
    """Blobs read in pieces cut at odd places."""

    def __init__(self, places: list[int]) -> None:
        super().__init__(MemoryStore())
        self._places = places

    async def read(self, key: str, start: int = 0) -> AsyncIterator[bytes]:
        whole = b"".join([piece async for piece in super().read(key, start)])
        for piece in cut(whole, self._places):
            yield piece


@settings(max_examples=25)
@given(st.lists(st.integers(0, 64), max_size=12))
def test_samples_are_the_same_wherever_the_blob_is_cut(at: list[int]) -> None:
    async def work() -> None:
        blobs = CutBlobs(at)
        await store_channels(blobs, left=300, right=-300)
        await transcribe_in(blobs, SumRecognizer())
        assert await said_on(blobs, "left") == "sum 3000"
        assert await said_on(blobs, "right") == "sum -3000"

    run(work())
