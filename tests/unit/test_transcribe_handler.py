"""The handler of transcribe on small fakes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from events import Event
from events.base import Channel
from events.documents import ChannelTranscript, Engine, Language, Request
from functions.transcribe.checkpoints import CHECKPOINT_EVERY
from functions.transcribe.handler import transcribe
from functions.transcribe.recognizer import FROM_START, Hypothesis, Recognizer, ResumePoint, Samples
from shared.audio.pcm import pcm16_header
from shared.blobs import ObjectBlobs
from shared.errors import Missing, Permanent, Transient
from tests.support.examples import (
    ENGINE,
    RECORDING,
    chunk,
    cut,
    fmt,
    levels,
    riff,
    segment,
    stream,
    transcribed,
    was_split,
)
from tests.support.handlers import KEY, REQUEST, misdirected, undigested
from tests.support.waiting import run


@dataclass
class SumRecognizer:
    """Says one word per recording: the sum of its samples."""

    engine: Engine = ENGINE
    requests: list[Request] = field(default_factory=list)

    async def recognize(
        self, blocks: AsyncIterator[Samples], request: Request, resume: ResumePoint = FROM_START
    ) -> AsyncGenerator[Hypothesis, None]:
        assert resume == FROM_START
        self.requests.append(request)
        total = 0
        async for block in blocks:
            total += int(block.sum(dtype=np.int64))
        yield Hypothesis((segment(0, 1, f"sum {total}"),))


@dataclass
class BreakableRecognizer:
    """Says one word per sample, its value, and breaks off before it says one more than `most`."""

    most: int | None = None
    engine: Engine = ENGINE
    said: list[int] = field(default_factory=list)
    resumed: list[ResumePoint] = field(default_factory=list)

    async def recognize(
        self, blocks: AsyncIterator[Samples], _: Request, resume: ResumePoint = FROM_START
    ) -> AsyncGenerator[Hypothesis, None]:
        self.resumed.append(resume)
        values = [int(value) async for block in blocks for value in block]
        for number, value in enumerate(values[resume.hypotheses :]):
            if number == self.most:
                raise Transient("broken off")
            self.said.append(value)
            at = float(resume.hypotheses + number)
            yield Hypothesis((segment(at, at + 1, str(value)),), GERMAN)


@dataclass
class PairedRecognizer:
    """Says nothing until it has been asked for two channels."""

    engine: Engine = ENGINE
    both: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(2))

    async def recognize(
        self, blocks: AsyncIterator[Samples], _: Request, resume: ResumePoint = FROM_START
    ) -> AsyncGenerator[Hypothesis, None]:
        async for block in blocks:
            await self.both.wait()
            yield Hypothesis((segment(0, 1, f"first {block[0]} after {resume.hypotheses}"),))


LEFT: tuple[Channel, ...] = ("left",)
GERMAN = Language(code="de", probability=0.9)
MANY = 2 * CHECKPOINT_EVERY + 3


async def store_count(blobs: ObjectBlobs) -> None:
    """Write a left channel of samples 0, 1, 2, …"""
    body = np.arange(MANY, dtype="<i2").tobytes()
    await blobs.put(KEY.audio("left"), stream([pcm16_header(MANY), body]))


async def store_channels(blobs: ObjectBlobs, **values: int) -> None:
    """Write a channel per name with 10 samples of that value."""
    for name, value in values.items():
        body = np.full(10, value, "<i2").tobytes()
        await blobs.put(KEY.audio(name), stream([pcm16_header(10), body]))


async def transcribe_in(
    blobs: ObjectBlobs,
    recognizer: Recognizer,
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
        assert undigested(events) == (transcribed("left"), transcribed("right"))
        assert await said_on(blobs, "left") == "sum 70"
        assert await said_on(blobs, "right") == "sum -30"

    run(work())


def test_only_the_served_channel_is_transcribed(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        events = await transcribe_in(blobs, SumRecognizer(), serves=("right",))
        assert undigested(events) == (transcribed("right"),)
        assert await said_on(blobs, "left") is None

    run(work())


def test_a_mono_recording_is_nothing_to_do_for_the_right_channel(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7)
        mono: tuple[Channel, ...] = ("left",)
        assert await transcribe_in(blobs, SumRecognizer(), ("right",), mono) == ()
        events = await transcribe_in(blobs, SumRecognizer(), ("left",), mono)
        assert undigested(events) == (transcribed("left", channels=mono),)

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
        older = await transcribe_in(blobs, SumRecognizer())
        newer = SumRecognizer(ENGINE.model_copy(update={"revision": "2"}))
        events = await transcribe_in(blobs, newer)
        kept = await blobs.get_json(KEY.channel_transcript("left"), ChannelTranscript)
        assert len(newer.requests) == 2
        assert {event.event_id for event in events} == {event.event_id for event in older}
        assert {event.fingerprint for event in events}.isdisjoint(
            event.fingerprint for event in older
        )
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


@pytest.mark.parametrize(
    ("channels", "bits", "rate"), [(2, 16, 16_000), (1, 8, 16_000), (1, 16, 8_000)]
)
def test_a_channel_that_is_not_as_split_writes_it_is_no_speech_to_be_recognised(
    blobs: ObjectBlobs, channels: int, bits: int, rate: int
) -> None:
    async def work() -> None:
        wav = riff(fmt(channels, rate, bits), chunk(b"data", bytes(8)))
        await blobs.put(KEY.audio("left"), stream([wav]))
        await transcribe_in(blobs, SumRecognizer(), LEFT, LEFT)

    with pytest.raises(Permanent, match="it must hold 1 x pcm_s16le at 16000 Hz") as refused:
        run(work())
    assert refused.value.code == "invalid_audio"


def test_a_channel_that_is_no_wav_is_given_up(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put(KEY.audio("left"), stream([b"hello, world"]))
        await transcribe_in(blobs, SumRecognizer(), LEFT, LEFT)

    with pytest.raises(Permanent, match="RIFF/WAVE"):
        run(work())


def test_both_channels_are_transcribed_at_the_same_time(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7, right=-3)
        async with asyncio.timeout(10):
            await transcribe_in(blobs, PairedRecognizer())
        assert await said_on(blobs, "left") == "first 7 after 0"
        assert await said_on(blobs, "right") == "first -3 after 0"

    run(work())


async def transcript_of_count(
    blobs: ObjectBlobs, *recognizers: BreakableRecognizer
) -> ChannelTranscript:
    """The transcript after one delivery to each recogniser; all but the last break off."""
    await store_count(blobs)
    for recognizer in recognizers:
        try:
            await transcribe_in(blobs, recognizer, LEFT, LEFT)
        except Transient:
            assert recognizer.most is not None
    kept = await blobs.get_json(KEY.channel_transcript("left"), ChannelTranscript)
    assert kept is not None
    return kept


@given(st.lists(st.integers(0, MANY), max_size=4))
def test_a_broken_off_recognition_goes_on_and_the_transcript_is_the_same(breaks: list[int]) -> None:
    async def work() -> None:
        uninterrupted = await transcript_of_count(ObjectBlobs(MemoryStore()), BreakableRecognizer())
        tries = [BreakableRecognizer(most) for most in breaks]
        blobs = ObjectBlobs(MemoryStore())
        assert await transcript_of_count(blobs, *tries, BreakableRecognizer()) == uninterrupted
        assert [segment.text for segment in uninterrupted.segments] == list(map(str, range(MANY)))
        assert uninterrupted.language == GERMAN

    run(work())


def test_what_was_kept_is_not_recognised_again_and_removed_at_the_end(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        broken, whole = (
            BreakableRecognizer(2 * CHECKPOINT_EVERY + 1),
            BreakableRecognizer(),
        )
        await transcript_of_count(blobs, broken, whole)
        assert whole.resumed == [ResumePoint(2 * CHECKPOINT_EVERY, GERMAN)]
        assert whole.said == list(range(2 * CHECKPOINT_EVERY, MANY))
        assert [await blobs.size(KEY.checkpoint("left", number)) for number in (1, 2)] == [
            None,
            None,
        ]

    run(work())


def test_what_another_engine_left_is_not_read(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        older = BreakableRecognizer(
            2 * CHECKPOINT_EVERY, ENGINE.model_copy(update={"revision": "0"})
        )
        newer = BreakableRecognizer()
        await transcript_of_count(blobs, older, newer)
        assert newer.resumed == [FROM_START]
        assert newer.said == list(range(MANY))

    run(work())


def test_a_delivery_after_the_end_only_tidies_up(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        first, again = BreakableRecognizer(), BreakableRecognizer()
        await transcript_of_count(blobs, first, again)
        assert again.resumed == []

    run(work())


class SilentRecognizer(SumRecognizer):
    """Hears a language and no word."""

    async def recognize(
        self, blocks: AsyncIterator[Samples], _: Request, resume: ResumePoint = FROM_START
    ) -> AsyncGenerator[Hypothesis, None]:
        async for _block in blocks:
            yield Hypothesis((), GERMAN if resume == FROM_START else None)


def test_a_channel_on_which_nothing_is_said_has_no_language(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7)
        await transcribe_in(blobs, SilentRecognizer(), LEFT, LEFT)
        kept = await blobs.get_json(KEY.channel_transcript("left"), ChannelTranscript)
        assert kept is not None
        assert (kept.segments, kept.language) == ((), None)

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


@given(st.lists(st.integers(0, 64), max_size=12))
def test_samples_are_the_same_wherever_the_blob_is_cut(at: list[int]) -> None:
    async def work() -> None:
        blobs = CutBlobs(at)
        await store_channels(blobs, left=300, right=-300)
        await transcribe_in(blobs, SumRecognizer())
        assert await said_on(blobs, "left") == "sum 3000"
        assert await said_on(blobs, "right") == "sum -3000"

    run(work())


def test_a_foreign_key_in_the_event_is_not_read(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7)
        await blobs.put_json("other/levels", levels().model_copy(update={"sha256": {"left": "1"}}))
        event = was_split(channels=LEFT)
        for each in (event, misdirected(event)):
            recognizer = SumRecognizer()
            await transcribe(each, blobs=blobs, recognizer=recognizer, serves=LEFT, degraded=())
        assert recognizer.requests == []

    run(work())


@pytest.mark.parametrize(("sha256", "times"), [("1", 1), ("2", 2)])
def test_the_channels_content_tells_whether_it_was_transcribed(
    blobs: ObjectBlobs, sha256: str, times: int
) -> None:
    async def work() -> None:
        await store_channels(blobs, left=7)
        recognizer = SumRecognizer()
        for number, digest in enumerate(("1", sha256)):
            measured = levels().model_copy(
                update={"digest": str(number), "sha256": {"left": digest}}
            )
            await blobs.put_json(KEY.levels, measured)
            await transcribe_in(blobs, recognizer, LEFT, LEFT)
        assert len(recognizer.requests) == times

    run(work())
