"""Transcribe the channels of a recording that this deployment serves."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np

from events import ChannelTranscribed, RecordingSplit
from events.base import Channel
from events.documents import ChannelTranscript, Request
from functions.transcribe.checkpoints import Passages
from functions.transcribe.recognizer import Recognizer, Samples
from shared.audio.wav import PCM16_BYTES, HeaderReader, whole_frames
from shared.digest import work_digest
from shared.function import function
from shared.ports import Blobs
from shared.tasks import together


@function("transcribe")
async def transcribe(
    split: RecordingSplit,
    *,
    blobs: Blobs,
    recognizer: Recognizer,
    serves: tuple[Channel, ...],
    degraded: tuple[str, ...],
) -> tuple[ChannelTranscribed, ...]:
    """Write one transcript per served channel of the recording; none served is nothing to do.

    `degraded` says whether the recogniser stands in for a better one.
    """
    works = [
        transcribe_channel(split, channel, blobs, recognizer, degraded)
        for channel in split.channels
        if channel in serves
    ]
    return tuple(await together(*works))


async def transcribe_channel(
    split: RecordingSplit,
    channel: Channel,
    blobs: Blobs,
    recognizer: Recognizer,
    degraded: tuple[str, ...],
) -> ChannelTranscribed:
    """Recognise one channel, unless the very same work is already there."""
    key = split.run_key.channel_transcript(channel)
    request = await blobs.get_json(split.recording_key.request, Request) or Request()
    digest = work_digest(split.run_key.audio(channel), request, recognizer.engine)
    passages = Passages(blobs, split, channel, digest)
    done = await blobs.get_json(key, ChannelTranscript)
    if done is None or done.digest != digest:
        await recognize(passages, recognizer, request)
        transcript = ChannelTranscript(
            recording=split.recording,
            run=split.run,
            channel=channel,
            digest=digest,
            engine=recognizer.engine,
            degraded=degraded,
            segments=tuple(passages.segments),
            language=passages.known.language if passages.segments else None,
        )
        await blobs.put_json(key, transcript)
    await passages.remove()
    return ChannelTranscribed(
        **split.same_run,
        channel=channel,
        channels=split.channels,
        duration=split.duration,
        transcript=key,
        digest=digest,
    )


async def recognize(passages: Passages, recognizer: Recognizer, request: Request) -> None:
    """Hear the channel to its end, behind the passages that are kept already."""
    known = await passages.read()
    audio = passages.blobs.read(passages.split.run_key.audio(passages.channel))
    async with aclosing(recognizer.recognize(samples(audio), request, known)) as pieces:
        async for heard in pieces:
            await passages.add(heard)


async def samples(pieces: AsyncIterator[bytes]) -> AsyncIterator[Samples]:
    """The samples of a mono 16-bit WAV, block by block. Raise `Permanent` if it is none."""
    async for whole in whole_frames(behind_header(pieces), PCM16_BYTES):
        yield np.frombuffer(whole, np.dtype("<i2"))


async def behind_header(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What follows a WAV's header. Raise `Permanent` if there is none."""
    reader = HeaderReader()
    position, data_start = 0, -1
    async for piece in pieces:
        if data_start < 0 and (header := reader.feed(piece)) is not None:
            data_start = header.data_start
        if data_start >= 0:
            yield piece[max(0, data_start - position) :]
        position += len(piece)
    if data_start < 0:
        raise reader.end()
