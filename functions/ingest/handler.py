"""Accept an upload, announce it, and wait for its result."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from events import Envelope, RecordingCompleted, RecordingFailed, RecordingReceived
from events.base import TERMINAL_STATES
from events.documents import Request
from events.keys import RecordingKey
from functions.ingest.ports import Ports
from functions.ingest.upload.fields import Fields, request_of
from functions.ingest.upload.upload import Upload
from functions.ingest.views import Session
from shared.errors import Unavailable

FIRST_INTERVAL = 1.0
"""Seconds until the record is read again while waiting; an event on the broker makes it sooner."""
INTERVAL_GROWTH = 1.5
LONGEST_INTERVAL = 5.0
"""Seconds. The interval grows with each read, as the broker's events seldom fail."""


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
    committed, a cancellation included, is ignored: the recording is promised.

    Raises `Permanent` for a faulty upload, `Unavailable` while a store is away.
    """
    request_of(query)
    try:
        ended, request = await _store_blobs(ports, key, upload, body, query)
        audio = upload.audio
        received = RecordingReceived.of(
            key, run=1, files=audio.files, duration=audio.duration, sha256=audio.sha256
        )
    except BaseException:
        await _remove_blobs(ports, key)
        raise
    age = (ports.clock() - ended).total_seconds()
    try:
        await ports.record.accept(received, audio, request, age, traceparent)
    except (Exception, asyncio.CancelledError) as error:
        if not await _is_promised(ports, key, error):
            raise
    return received


async def _store_blobs(
    ports: Ports, key: RecordingKey, upload: Upload, body: AsyncIterator[bytes], query: Fields
) -> tuple[datetime, Request]:
    """Store the upload's files and its request. Returns when the files had come, and the request.

    The fields that have come are checked before each file, and all at the end.
    """
    async for file in upload.files(body):
        request_of({**query, **upload.fields})
        await ports.blobs.put(key.audio_right if file.is_right else key.audio, file.chunks())
    ended = ports.clock()
    request = request_of({**query, **upload.fields})
    await ports.blobs.put_json(key.request, request)
    return ended, request


async def _is_promised(ports: Ports, key: RecordingKey, error: BaseException) -> bool:
    """Return whether the row is certainly there although its insertion ended in `error`.

    After an outage or a cancellation the database may still commit it, so the blobs stay. If no
    row comes of it, nothing refers to them; no recording is lost by it.
    """
    with suppress(Unavailable):
        if await ports.record.state(key.tenant, key.recording) is not None:
            return True
        if isinstance(error, Exception) and not isinstance(error, Unavailable):
            await _remove_blobs(ports, key)
    return False


async def _remove_blobs(ports: Ports, key: RecordingKey) -> None:
    """Remove the upload's blobs. With the store away they stay."""
    with suppress(Unavailable):
        for blob in (key.audio, key.audio_right, key.request):
            await ports.blobs.delete(blob)


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
    ports: Ports, tenant: str, recording: UUID, seconds: float, stop: asyncio.Event
) -> Session | None:
    """Return the recording once it has ended, `seconds` are over, or `stop` is set.

    Returns None if it does not exist.
    """
    if seconds > 0:
        await _until_terminal(ports, tenant, recording, seconds, stop)
    return await ports.record.find(tenant, recording)


async def _until_terminal(
    ports: Ports, tenant: str, recording: UUID, seconds: float, stop: asyncio.Event
) -> None:
    ends = (f"{kind.type}.{tenant}.{recording}" for kind in (RecordingCompleted, RecordingFailed))
    now, interval = asyncio.get_running_loop().time, FIRST_INTERVAL
    deadline = now() + seconds
    async with ports.notices.subscribe(*ends) as notice:
        while not stop.is_set():
            notice.clear()
            state = await ports.record.state(tenant, recording)
            left = deadline - now()
            if state is None or state in TERMINAL_STATES or left <= 0:
                return
            await _first(min(left, interval), notice, stop)
            interval = min(INTERVAL_GROWTH * interval, LONGEST_INTERVAL)


async def _first(seconds: float, *events: asyncio.Event) -> None:
    """Wait until one of the events is set, at most `seconds`."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
