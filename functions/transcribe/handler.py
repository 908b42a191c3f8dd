"""Transcribe the channels of a recording that this deployment serves."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np

from events import ChannelTranscribed, RecordingSplit
from events.base import Channel
from events.documents import ChannelTranscript, Engine, Levels, Request
from functions.transcribe.checkpoints import Checkpoints
from functions.transcribe.recognizer import Recognizer, Samples
from shared.audio.pcm import pcm16_samples
from shared.digest import work_digest
from shared.function import function
from shared.ports import Blobs
from shared.reuse import Work, made_before
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
    """Write one transcript for each channel that this deployment `serves`.

    Returns no event if it serves none of the recording's channels. `degraded` names the
    recogniser if it stands in for a better one.
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
    """Recognise one channel, unless a transcript of the same work is in the store."""
    key, engine = split.run_key.channel_transcript(channel), recognizer.engine
    request = await blobs.get_json(split.recording_key.request, Request) or Request()
    digest = work_digest(await content(split, channel, blobs), request, engine)
    checkpoints = Checkpoints(blobs, split, channel, digest)
    work = Work(split.run_key, lambda run: run.channel_transcript(channel), digest, engine)
    if not await made_before(blobs, work, ChannelTranscript):
        await recognize(checkpoints, recognizer, request)
        await blobs.put_json(key, transcript_of(checkpoints, engine, degraded))
    await checkpoints.remove()
    return ChannelTranscribed(
        **split.same_run,
        channel=channel,
        channels=split.channels,
        duration=split.duration,
        transcript=key,
        digest=digest,
    )


async def content(split: RecordingSplit, channel: Channel, blobs: Blobs) -> str:
    """Return the digest of the channel's samples.

    Returns the key of its blob for a recording that was split before digests were kept.
    """
    levels = await blobs.get_json(split.run_key.levels, Levels)
    digest = levels.sha256.get(channel) if levels else None
    return digest or split.run_key.audio(channel)


def transcript_of(
    checkpoints: Checkpoints, engine: Engine, degraded: tuple[str, ...]
) -> ChannelTranscript:
    """Return the document of a channel that is recognised to its end."""
    return ChannelTranscript(
        recording=checkpoints.split.recording,
        run=checkpoints.split.run,
        channel=checkpoints.channel,
        digest=checkpoints.digest,
        engine=engine,
        degraded=degraded,
        segments=tuple(checkpoints.segments),
        language=checkpoints.resume.language if checkpoints.segments else None,
    )


async def recognize(checkpoints: Checkpoints, recognizer: Recognizer, request: Request) -> None:
    """Recognise the channel to its end, from the last checkpoint on."""
    resume = await checkpoints.load()
    audio = checkpoints.blobs.read(checkpoints.split.run_key.audio(checkpoints.channel))
    recognition = recognizer.recognize(wav_samples(audio), request, resume)
    async with aclosing(recognition) as hypotheses:
        async for hypothesis in hypotheses:
            await checkpoints.add(hypothesis)


async def wav_samples(chunks: AsyncIterator[bytes]) -> AsyncIterator[Samples]:
    """Yield a channel's samples in blocks. Raises `Permanent` if its WAV is not as split writes."""
    async for whole in pcm16_samples(chunks):
        yield np.frombuffer(whole, np.dtype("<i2"))
