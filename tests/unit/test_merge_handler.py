"""The handler of merge on small fakes."""

import threading
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from events import Envelope, Event, TranscriptMerged
from events.base import Channel
from events.documents import Bleed, Language, Quality, Transcript
from functions.merge.handler import MOST_REDRIVES, merge
from shared.blobs import ObjectBlobs
from shared.errors import Permanent
from tests.support.examples import (
    ENGINE,
    heard,
    levels,
    merged,
    segment,
    transcribed,
    transcript,
)
from tests.support.handlers import KEY, undigested
from tests.support.waiting import run

TIME = datetime(2026, 7, 1, tzinfo=UTC)
LEAKING = Quality(
    dual_mono=False,
    channels=(),
    bleed=(Bleed(source="left", into="right", delay=0, gain=-20, correlation=0.9),),
)


async def merge_both(blobs: ObjectBlobs) -> Transcript:
    await merge(transcribed("left"), blobs=blobs)
    kept = await blobs.get_json(KEY.transcript, Transcript)
    assert kept is not None
    return kept


@pytest.mark.parametrize("order", [("left", "right"), ("right", "left")])
def test_merge_waits_for_both_channels_in_either_order(
    blobs: ObjectBlobs, order: tuple[Channel, Channel]
) -> None:
    async def work() -> None:
        first, second = order
        await blobs.put_json(KEY.channel_transcript(first), heard(first, segment(1, 2)))
        assert await merge(transcribed(first), blobs=blobs) == ()
        await blobs.put_json(KEY.channel_transcript(second), heard(second, segment(3, 4)))
        assert undigested(await merge(transcribed(second), blobs=blobs)) == (merged(),)
        kept = await blobs.get_json(KEY.transcript, Transcript)
        assert kept is not None
        assert [(turn.id, turn.speaker) for turn in kept.segments] == [
            ("s1", first),
            ("s2", second),
        ]

    run(work())


def test_merge_waits_only_for_the_channels_that_the_event_names(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.channel_transcript("left"), heard("left"))
        (event,) = await merge(transcribed("left", channels=("left",)), blobs=blobs)
        assert isinstance(event, TranscriptMerged)
        assert event.segments == 0

    run(work())


def test_both_channels_events_give_the_same_transcript(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.channel_transcript("left"), heard("left", segment()))
        await blobs.put_json(KEY.channel_transcript("right"), heard("right", segment(2, 3)))
        outputs = [
            undigested(await merge(transcribed(side), blobs=blobs))
            for side in ("left", "right", "left")
        ]
        assert outputs == [(merged(),)] * 3

    run(work())


def test_merge_names_every_engine_that_stood_in_once(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        for side in ("left", "right"):
            document = heard(side, degraded=("recognizer:sphinx",))
            await blobs.put_json(KEY.channel_transcript(side), document)
        await merge(transcribed("left"), blobs=blobs)
        kept = await blobs.get_json(KEY.transcript, Transcript)
        assert kept is not None
        assert kept.degraded == ("recognizer:sphinx",)

    run(work())


def test_merge_replaces_a_transcript_of_other_channel_transcripts(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.channel_transcript("left"), heard("left", digest="old"))
        await blobs.put_json(KEY.channel_transcript("right"), heard("right"))
        await merge(transcribed("left"), blobs=blobs)
        await blobs.put_json(KEY.channel_transcript("left"), heard("left", segment(), digest="new"))
        (event,) = await merge(transcribed("left"), blobs=blobs)
        assert isinstance(event, TranscriptMerged)
        kept = await blobs.get_json(KEY.transcript, Transcript)
        assert kept is not None
        assert event.segments == len(kept.segments) == 1

    run(work())


def test_what_leaked_from_one_channel_into_the_other_is_taken_out_and_recorded(
    blobs: ObjectBlobs,
) -> None:
    async def work() -> None:
        for side in ("left", "right"):
            await blobs.put_json(KEY.channel_transcript(side), heard(side, segment()))
        both = await merge_both(blobs)
        assert [turn.speaker for turn in both.segments] == ["left", "right"]
        assert both.echoes == ()
        await blobs.put_json(KEY.levels, levels().model_copy(update={"quality": LEAKING}))
        apart = await merge_both(blobs)
        assert [turn.speaker for turn in apart.segments] == ["left"]
        assert [(echo.channel, echo.text) for echo in apart.echoes] == [("right", "hello there")]
        assert apart.digest != both.digest

    run(work())


def test_levels_that_were_measured_before_there_was_a_quality_take_nothing_out(
    blobs: ObjectBlobs,
) -> None:
    async def work() -> None:
        await blobs.put_json(KEY.levels, levels())
        for side in ("left", "right"):
            await blobs.put_json(KEY.channel_transcript(side), heard(side, segment()))
        assert len((await merge_both(blobs)).segments) == 2

    run(work())


def test_merge_says_in_what_language_each_channel_is(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        spoken = heard("left").model_copy(update={"language": Language(code="de", probability=0.9)})
        await blobs.put_json(KEY.channel_transcript("left"), spoken)
        await blobs.put_json(KEY.channel_transcript("right"), heard("right"))
        (language,) = (await merge_both(blobs)).languages
        assert (language.channel, language.code, language.probability) == ("left", "de", 0.9)

    run(work())


async def store_side(blobs: ObjectBlobs, side: Channel, revision: str) -> None:
    engine = ENGINE.model_copy(update={"revision": revision})
    document = heard(side, segment(text=f"{side} {revision}"), digest=f"{side} {revision}")
    await blobs.put_json(
        KEY.channel_transcript(side), document.model_copy(update={"engine": engine})
    )


@pytest.mark.parametrize("first", ["left", "right"])
def test_channels_of_different_engines_are_not_joined_until_the_older_is_made_again(
    blobs: ObjectBlobs, first: Channel
) -> None:
    second: Channel = "right" if first == "left" else "left"

    async def work() -> None:
        await store_side(blobs, first, "new")
        await store_side(blobs, second, "old")
        for side in ("left", "right"):
            assert await merge(transcribed(side), blobs=blobs) == ()
        assert await blobs.size(KEY.transcript) is None
        await store_side(blobs, second, "new")
        await merge(transcribed(second), blobs=blobs)
        kept = await blobs.get_json(KEY.transcript, Transcript)
        assert kept is not None
        assert {turn.text for turn in kept.segments} == {"left new", "right new"}
        assert kept.engine.revision == "new"

    run(work())


def test_channels_whose_engines_still_differ_after_all_redrives_fail_with_both_engines_named(
    blobs: ObjectBlobs,
) -> None:
    async def work() -> None:
        await store_side(blobs, "left", "float16")
        await store_side(blobs, "right", "int8")
        with capture_logs() as lines:
            for redrive in range(MOST_REDRIVES):
                assert await merge(transcribed("left"), blobs=blobs, redrive=redrive) == ()
        (engines,) = {str(line["engines"]) for line in lines}
        assert "float16" in engines
        assert "int8" in engines
        with pytest.raises(Permanent, match="left by test float16 and right by test int8") as given:
            await merge(transcribed("left"), blobs=blobs, redrive=MOST_REDRIVES)
        assert given.value.code == "engines_differ"
        assert await blobs.size(KEY.transcript) is None

    run(work())


def test_probes_are_answered_while_channels_are_joined(
    blobs: ObjectBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def join(*_: object) -> Transcript:
        threads.append(threading.current_thread())
        return transcript()

    async def work() -> None:
        for side in ("left", "right"):
            await blobs.put_json(KEY.channel_transcript(side), heard(side, segment()))
        await merge(transcribed("left"), blobs=blobs)

    monkeypatch.setattr("functions.merge.handler.join", join)
    run(work())
    assert threads
    assert threads[0] is not threading.main_thread()


def test_a_corrected_transcript_is_announced_as_another_message_about_the_same_step(
    blobs: ObjectBlobs,
) -> None:
    async def work() -> None:
        events: list[Event] = []
        for revision in ("old", "new"):
            for side in ("left", "right"):
                await store_side(blobs, side, revision)
            events += await merge(transcribed("left"), blobs=blobs)
        older, newer = (Envelope(event, "/pocwhisp/merge", TIME) for event in events)
        assert older.id == newer.id
        assert older.message_id != newer.message_id

    run(work())
