"""Join the channels of a recording into one transcript."""

from collections.abc import Sequence

from events import ChannelTranscribed, TranscriptMerged
from events.documents import ChannelLanguage, ChannelTranscript, Levels, Quality, Transcript
from functions.merge.echoes import without_echoes
from functions.merge.turns import interleave
from shared.digest import work_digest
from shared.function import function
from shared.ports import Blobs

REVISION = "2"
"""Counts changes to how turns are made, so that an older transcript is not taken for the same."""


@function("merge")
async def merge(heard: ChannelTranscribed, *, blobs: Blobs) -> TranscriptMerged | None:
    """Write the transcript once every channel is there, each made by the same engine.

    Until then there is nothing to do. An engine that was replaced between the channels makes the
    older one again when the sweep sends `recording.split` once more.
    """
    sides = await present(heard, blobs)
    if len(sides) < len(heard.channels) or not made_alike(sides):
        return None  # the other channel's event will bring us back
    levels = await blobs.get_json(heard.run_key.levels, Levels)
    transcript = join(heard, sides, levels.quality if levels else None)
    return TranscriptMerged(
        **heard.same_run,
        duration=heard.duration,
        segments=len(transcript.segments),
        transcript=await blobs.put_json(heard.run_key.transcript, transcript),
        digest=transcript.digest,
    )


def made_alike(sides: Sequence[ChannelTranscript]) -> bool:
    """Whether the same engine in the same settings made them; the request is the recording's."""
    return all(side.engine == sides[0].engine for side in sides)


async def present(heard: ChannelTranscribed, blobs: Blobs) -> list[ChannelTranscript]:
    """The channel transcripts that are there, in the order of `heard.channels`."""
    keys = (heard.run_key.channel_transcript(channel) for channel in heard.channels)
    sides = [await blobs.get_json(key, ChannelTranscript) for key in keys]
    return [side for side in sides if side is not None]


def join(
    heard: ChannelTranscribed, sides: Sequence[ChannelTranscript], quality: Quality | None
) -> Transcript:
    """One transcript of all channels, which knows from what it was made."""
    apart, echoes = without_echoes(sides, quality)
    return Transcript(
        recording=heard.recording,
        run=heard.run,
        digest=work_digest(REVISION, *(side.digest for side in sides), quality or ""),
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
