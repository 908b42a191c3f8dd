"""The handler of merge on small fakes."""

import pytest

from events import (
    TranscriptMerged,
)
from events.base import Channel
from events.documents import (
    Transcript,
)
from functions.merge.handler import merge
from shared.blobs import ObjectBlobs
from tests.examples import (
    heard,
    merged,
    segment,
    transcribed,
)
from tests.handlers import KEY, run


@pytest.mark.parametrize("order", [("left", "right"), ("right", "left")])
def test_merge_waits_for_both_channels_in_either_order(
    blobs: ObjectBlobs, order: tuple[Channel, Channel]
) -> None:
    async def work() -> None:
        first, second = order
        await blobs.put_json(KEY.channel_transcript(first), heard(first, segment(1, 2)))
        assert await merge(transcribed(first), blobs=blobs) == ()
        await blobs.put_json(KEY.channel_transcript(second), heard(second, segment(3, 4)))
        assert await merge(transcribed(second), blobs=blobs) == (merged(),)
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
            await merge(transcribed(side), blobs=blobs) for side in ("left", "right", "left")
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
