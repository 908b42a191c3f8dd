"""The handler of split on uploads in memory."""

import asyncio
from typing import TypeVar

from obstore.store import MemoryStore

from events import Event, RecordingReceived
from events.documents import Levels
from functions.split.handler import split
from shared.audio.formats import ENCODINGS, Limits
from shared.blobs import ObjectBlobs
from tests.support.examples import received, stream
from tests.support.sounds import FakeDecoder, tone, wav_of

T = TypeVar("T")
CALL = received()
KEY = CALL.run_key
TWO_FILES = CALL.model_copy(update={"audio_right": CALL.recording_key.audio_right})


async def stored(*files: bytes) -> ObjectBlobs:
    blobs = ObjectBlobs(MemoryStore())
    for key, file in zip((CALL.audio, CALL.recording_key.audio_right), files, strict=False):
        await blobs.put(key, stream([file]))
    return blobs


async def split_in(
    blobs: ObjectBlobs, limits: Limits | None = None, call: RecordingReceived = CALL
) -> tuple[Event, ...]:
    return await split(call, blobs=blobs, limits=limits or Limits(), decoder=FakeDecoder())


async def levels_in(blobs: ObjectBlobs) -> Levels:
    levels = await blobs.get_json(KEY.levels, Levels)
    assert levels is not None
    return levels


def levels_of(*files: bytes) -> Levels:
    """What is found out about the call in one file or two."""

    async def work() -> Levels:
        blobs = await stored(*files)
        await split_in(blobs, call=CALL if len(files) == 1 else TWO_FILES)
        return await levels_in(blobs)

    return asyncio.run(work())


def codes(levels: Levels) -> list[str]:
    return [warning.code for warning in levels.warnings]


def mono(hertz: float, rate: int, frames: int) -> bytes:
    return wav_of(tone(hertz, rate, frames)[:, None], ENCODINGS[1, 16], rate)
