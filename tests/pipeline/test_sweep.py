"""What is on record but not at the broker is sent again."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import nats
from uuid_utils.compat import uuid7

from events.keys import RecordingKey
from functions.ingest.adapters import PostgresRecord
from functions.ingest.handler import take_in
from functions.ingest.ports import Ports
from functions.ingest.upload.body import reader_of
from functions.ingest.upload.upload import Upload
from shared.audio.formats import Limits
from shared.blobs import ObjectBlobs
from shared.bus import Bus
from shared.record.database import Database
from tests.support.examples import MULTIPART, form, part, stream
from tests.support.stacks import SAMPLE_CALL, Body, RunningStack, eventually, stopped


async def take_in_and_die(stack: RunningStack) -> UUID:
    """Do what ingest does up to the committed row, and nothing after it."""
    key = RecordingKey("default", uuid7())
    body = form(part("audio", SAMPLE_CALL.read_bytes(), "a.wav"))
    info = stack.info
    assert info.database_url is not None
    async with (
        Database.open(info.database_url, "pocwhisp_app") as database,
        Bus.connect(info.nats_url) as bus,
    ):
        blobs = ObjectBlobs.open((stack.data / "blobs").as_uri())
        ports = Ports(PostgresRecord(database), blobs, bus, bus, lambda: datetime.now(UTC), {})
        upload = Upload(reader_of(MULTIPART), Limits(), 1 << 30)
        await take_in(ports, key, upload, stream([body]), {})
    return key.recording


def test_a_recording_whose_event_was_never_published_is_completed(
    own_stack: RunningStack, sample_call: Body
) -> None:
    recording = asyncio.run(take_in_and_die(own_stack))
    ended = own_stack.ended(str(recording))
    assert ended["transcript"] == sample_call["transcript"]


def test_a_broker_that_forgot_everything_loses_no_recording(
    own_stack: RunningStack, sample_call: Body
) -> None:
    with stopped(own_stack, "merge"):
        session_id = own_stack.post(wait="0").json()["session_id"]
        eventually(lambda: stages(own_stack, session_id).count("transcribe") == 2, "both channels")
        asyncio.run(forget_everything(own_stack))
    assert own_stack.ended(session_id)["transcript"] == sample_call["transcript"]


def stages(stack: RunningStack, session_id: str) -> list[str]:
    body = stack.http.get(f"/api/v1/transcribe/{session_id}").json()
    return [stage["stage"] for stage in body["progress"]]


async def forget_everything(stack: RunningStack) -> None:
    """Remove the stream with its messages, its consumers and its memory of message ids."""
    client = await nats.connect(stack.info.nats_url)
    try:
        await client.jetstream().delete_stream("POCWHISP")
    finally:
        await client.close()
