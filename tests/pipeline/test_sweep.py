"""What is on record but not at the broker is sent again."""

import asyncio
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import nats
from uuid_utils.compat import uuid7

from events import (
    ChannelTranscribed,
    Event,
    RecordingCompleted,
    RecordingReceived,
    RecordingSplit,
)
from events.keys import RecordingKey
from functions.ingest.adapters import PostgresRecord
from functions.ingest.handler import accept_upload
from functions.ingest.ports import Ports
from functions.ingest.upload.body import reader_of
from functions.ingest.upload.upload import Upload
from shared.audio.formats import Limits
from shared.blobs import ObjectBlobs
from shared.bus import Bus
from shared.record.database import Database
from tests.support.clips import clip
from tests.support.examples import MULTIPART, form, part, stream
from tests.support.recognizers import NANO_CALL
from tests.support.stacks import SAMPLE_CALL, Body, RunningStack, completed, stopped
from tests.support.waiting import eventually


async def take_in_and_die(stack: RunningStack) -> UUID:
    """Do what ingest does up to the committed row, and nothing after it."""
    key = RecordingKey("default", uuid7())
    body = form(part("audio", NANO_CALL.read_bytes(), "a.wav"))
    info = stack.info
    assert info.database_url is not None
    async with (
        Database.open(info.database_url, "pocwhisp_app") as database,
        Bus.connect(info.nats_url) as bus,
    ):
        blobs = ObjectBlobs.open((stack.data / "blobs").as_uri())
        ports = Ports(PostgresRecord(database), blobs, bus, bus, lambda: datetime.now(UTC), {})
        upload = Upload(reader_of(MULTIPART), Limits(), 1 << 30)
        await accept_upload(ports, key, upload, stream([body]), {})
    return key.recording


def test_a_recording_whose_event_was_never_published_is_completed(
    own_stack: RunningStack, nano_call: Body
) -> None:
    recording = asyncio.run(take_in_and_die(own_stack))
    ended = own_stack.ended(str(recording))
    assert ended["transcript"] == nano_call["transcript"]


def test_a_broker_that_forgot_everything_loses_no_recording(
    own_stack: RunningStack, nano_call: Body
) -> None:
    with stopped(own_stack, "merge"):
        session_id = own_stack.post(NANO_CALL, wait="0").json()["session_id"]
        eventually(lambda: stages(own_stack, session_id).count("transcribe") == 2, "both channels")
        asyncio.run(forget_everything(own_stack))
    assert own_stack.ended(session_id)["transcript"] == nano_call["transcript"]


def test_one_event_lost_in_the_middle_loses_no_recording(
    stack: RunningStack, tmp_path: Path
) -> None:
    """Neither the broker nor anybody's memory has it any more; all other events are there."""
    short = clip(SAMPLE_CALL, 3.0, tmp_path / "short.wav")
    undisturbed = completed(stack.post(short, wait="60"))
    with stopped(stack, "merge") as pids:
        session_id = stack.post(short, wait="0").json()["session_id"]
        eventually(lambda: stages(stack, session_id).count("transcribe") == 2, "both channels")
        asyncio.run(purge(stack, f"{ChannelTranscribed.type}.>"))
        for pid in (pids["merge"], stack.pid("dispatcher")):
            os.kill(pid, signal.SIGKILL)
    assert stack.ended(session_id)["transcript"] == undisturbed["transcript"]
    of_all = traces(stack, session_id, RecordingReceived, RecordingSplit, RecordingCompleted)
    assert len(asyncio.run(of_all)) == 1


def stages(stack: RunningStack, session_id: str) -> list[str]:
    body = stack.http.get(f"/api/v1/transcribe/{session_id}").json()
    return [stage["stage"] for stage in body["progress"]]


async def traces(stack: RunningStack, session_id: str, *models: type[Event]) -> set[str]:
    """The traces of the last events of these types about the recording."""
    async with Bus.connect(stack.info.nats_url) as bus:
        events = [await bus.last_event(f"{model.type}.default.{session_id}") for model in models]
    return {event["traceparent"].split("-")[1] for event in events if event is not None}


async def purge(stack: RunningStack, subject: str) -> None:
    """Remove all messages on the subjects."""
    client = await nats.connect(stack.info.nats_url)
    try:
        await client.jetstream().purge_stream("POCWHISP", subject=subject)
    finally:
        await client.close()


async def forget_everything(stack: RunningStack) -> None:
    """Remove the stream with its messages, its consumers and its memory of message ids."""
    client = await nats.connect(stack.info.nats_url)
    try:
        await client.jetstream().delete_stream("POCWHISP")
    finally:
        await client.close()
