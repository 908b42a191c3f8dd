"""Accept an upload, announce it, and wait for its result."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

from events import Envelope, RecordingCompleted, RecordingFailed, RecordingReceived
from events.keys import RecordingKey
from functions.ingest.ports import Ports
from functions.ingest.upload.fields import Fields, request_of
from functions.ingest.upload.upload import Upload, UploadedAudio
from functions.ingest.views import Session
from shared.errors import Unavailable

RECORD_INTERVAL = 1.0
"""Seconds between reads of the record while waiting; an event on the broker makes it sooner."""


async def accept_upload(  # noqa: PLR0913 - the trace is beside what the request is made of
    ports: Ports,
    key: RecordingKey,
    upload: Upload,
    body: AsyncIterator[bytes],
    query: Fields,
    *,
    traceparent: str | None = None,
) -> RecordingReceived:
    """Store the upload: its blobs, then its row. Without the row, the blobs are removed again.

    `query` are fields from the URL; those of the body prevail. An error after the row was
    committed is ignored: the recording is promised.

    Raises `Permanent` for a faulty upload, `Unavailable` while a store is away.
    """
    request_of(query)
    received = None
    try:
        async for file in upload.files(body):
            await ports.blobs.put(key.audio_right if file.is_right else key.audio, file.chunks())
        ended = ports.clock()
        request = request_of({**query, **upload.fields})
        await ports.blobs.put_json(key.request, request)
        received = received_event(key, upload.audio)
        age = (ports.clock() - ended).total_seconds()
        await ports.record.accept(received, upload.audio, request, age, traceparent)
    except BaseException as error:
        promised = await discard_unless_promised(ports, key)
        if received is None or not promised or not isinstance(error, Exception):
            raise
    return received


def received_event(key: RecordingKey, audio: UploadedAudio) -> RecordingReceived:
    """Return the event that announces the recording and where its blobs are."""
    return RecordingReceived(
        tenant=key.tenant,
        recording=key.recording,
        run=1,
        audio=key.audio,
        audio_right=key.audio_right if audio.files > 1 else None,
        request=key.request,
        duration=audio.duration,
        sha256=audio.sha256,
    )


async def discard_unless_promised(ports: Ports, key: RecordingKey) -> bool:
    """Remove the upload's blobs unless its row is there: a commit may have lost its answer.

    Returns whether the row is certainly there. With the database or the store away, blobs that
    nothing refers to may stay; no recording is lost by it.
    """
    with suppress(Unavailable):
        if await ports.record.find(key.tenant, key.recording) is not None:
            return True
        for blob in (key.audio, key.audio_right, key.request):
            await ports.blobs.delete(blob)
    return False


async def announce(ports: Ports, received: RecordingReceived, traceparent: str) -> bool:
    """Publish the event. Returns whether the broker has it; if not, the sweep sends it later."""
    envelope = Envelope(
        data=received, source="/pocwhisp/ingest", time=ports.clock(), traceparent=traceparent
    )
    try:
        await ports.publisher.publish(envelope)
    except Unavailable:
        return False
    return True


async def wait_for_end(
    ports: Ports, tenant: str, recording: UUID, seconds: float
) -> Session | None:
    """Return the recording as soon as it has ended, or as it is after `seconds`.

    Returns None if it does not exist.
    """
    ends = (f"{kind.type}.{tenant}.{recording}" for kind in (RecordingCompleted, RecordingFailed))
    deadline = asyncio.get_running_loop().time() + seconds
    async with ports.notices.subscribe(*ends) as notice:
        while True:
            notice.clear()
            session = await ports.record.find(tenant, recording)
            left = deadline - asyncio.get_running_loop().time()
            if session is None or session.terminal or left <= 0:
                return session
            await _first(notice, min(left, RECORD_INTERVAL))


async def _first(notice: asyncio.Event, seconds: float) -> None:
    """Wait for the notice, but not by `wait_for`, which may lose a cancellation on Python 3.11."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await notice.wait()
