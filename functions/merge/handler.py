"""Join the channels of a recording into one transcript."""

import asyncio
from collections.abc import Sequence

import structlog

from events import ChannelTranscribed, TranscriptMerged
from events.documents import ChannelLanguage, ChannelTranscript, Levels, Quality, Transcript
from functions.merge.echoes import without_echoes
from functions.merge.turns import interleave
from shared.digest import work_digest
from shared.errors import Permanent
from shared.function import function
from shared.ports import Blobs

MERGE_REVISION = "2"
"""Revision of the merge algorithm, part of the transcript's digest."""
MOST_REDRIVES = 8
"""Re-drives after which channels of different engines are given up.

With the sweep's own patience that is after some 40 minutes, in which an upgrade is over.
"""
logger = structlog.get_logger()


@function("merge")
async def merge(
    transcribed: ChannelTranscribed, *, blobs: Blobs, redrive: int = 0
) -> TranscriptMerged | None:
    """Write the transcript once every channel is there, each made by the same engine.

    Returns None until then. An engine that was replaced between the channels makes the older one
    again with the next re-drive of `recording.split`. Raises `Permanent` if they still differ after
    `MOST_REDRIVES`: then the deployments of transcribe run different engines.
    """
    sides = await stored_transcripts(transcribed, blobs)
    if len(sides) < len(transcribed.channels):
        return None  # the other channel's event will bring us back
    if not made_alike(sides):
        note_difference(sides, redrive)
        return None
    levels = await blobs.get_json(transcribed.run_key.levels, Levels)
    quality = levels.quality if levels else None
    transcript = await asyncio.to_thread(join, transcribed, sides, quality)
    return TranscriptMerged(
        **transcribed.same_run,
        duration=transcribed.duration,
        segments=len(transcript.segments),
        transcript=await blobs.put_json(transcribed.run_key.transcript, transcript),
        digest=transcript.digest,
    )


def made_alike(sides: Sequence[ChannelTranscript]) -> bool:
    """Return whether one engine in the same settings made all; the request is the recording's."""
    return all(side.engine == sides[0].engine for side in sides)


def note_difference(sides: Sequence[ChannelTranscript], redrive: int) -> None:
    """Log that the engines differ. Raises `Permanent` after `MOST_REDRIVES`."""
    engines = {side.channel: f"{side.engine} {side.engine.digest[:12]}".strip() for side in sides}
    if redrive < MOST_REDRIVES:
        logger.warning("engines_differ", engines=engines)
        return
    made = " and ".join(f"{channel} by {engine}" for channel, engine in engines.items())
    raise Permanent(
        "engines_differ",
        f"Each channel was recognised by another engine, {made}, still after {redrive} re-drives; "
        "they are not joined.",
    )


async def stored_transcripts(
    transcribed: ChannelTranscribed, blobs: Blobs
) -> list[ChannelTranscript]:
    """Return the channel transcripts in the store, in the order of `transcribed.channels`."""
    keys = (transcribed.run_key.channel_transcript(channel) for channel in transcribed.channels)
    sides = [await blobs.get_json(key, ChannelTranscript) for key in keys]
    return [side for side in sides if side is not None]


def join(
    transcribed: ChannelTranscribed, sides: Sequence[ChannelTranscript], quality: Quality | None
) -> Transcript:
    """Return the merged transcript; its digest covers the channels' digests and their quality."""
    apart, echoes = without_echoes(sides, quality)
    return Transcript(
        recording=transcribed.recording,
        run=transcribed.run,
        digest=work_digest(MERGE_REVISION, *(side.digest for side in sides), quality or ""),
        engine=sides[0].engine,
        degraded=tuple(dict.fromkeys(mark for side in sides for mark in side.degraded)),
        segments=interleave(apart),
        languages=tuple(
            ChannelLanguage(channel=side.channel, **dict(side.language))
            for side in sides
            if side.language is not None
        ),
        echoes=echoes,
    )
