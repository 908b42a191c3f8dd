"""Take a recording in, and look at what became of it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from events import Envelope, RecordingCompleted, RecordingFailed, RecordingReceived
from events.documents import Request
from events.keys import RecordingKey
from functions.ingest.figures import Figures
from functions.ingest.http.views import Engines, Page, Session, State
from functions.ingest.upload.fields import Fields, request_of
from functions.ingest.upload.upload import Audio, Upload
from shared.errors import Unavailable
from shared.ports import Blobs, Check, Clock, Publisher

LOOK_AGAIN = 1.0
"""Seconds between looks at the record while waiting; a passing event makes it sooner."""


class Record(Protocol):
    """What ingest writes and reads. All raise `errors.Unavailable` while the database is away."""

    async def accept(
        self,
        received: RecordingReceived,
        audio: Audio,
        request: Request,
        age: float,
        traceparent: str | None = None,
    ) -> None:
        """Promise the recording, whose upload ended `age` seconds ago: row, run 1, first stage.

        Events of the run that must be sent again go on with the trace.
        """
        ...

    async def find(self, tenant: str, recording: UUID) -> Session | None:
        """The recording with its latest run, or None."""
        ...

    async def page(self, tenant: str, state: State | None, limit: int, offset: int) -> Page:
        """A page of the tenant's recordings, newest first, and how many there are in all."""
        ...

    async def engines(self, tenant: str) -> Engines:
        """The engines of the run that ended last."""
        ...

    async def figures(self) -> Figures:
        """Counts and times of the whole system."""
        ...


class Notices(Protocol):
    """Tells when to look at the record again."""

    def heard(self, *subjects: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set when a message passes on a subject."""
        ...


class DeletableBlobs(Blobs, Protocol):
    """Blobs that can be taken back as long as nothing was promised."""

    async def delete(self, key: str) -> None:
        """Remove the blob if it is there."""
        ...


@dataclass(frozen=True)
class Ports:
    """What ingest needs of the world."""

    record: Record
    blobs: DeletableBlobs
    publisher: Publisher
    notices: Notices
    clock: Clock
    checks: Mapping[str, Check]


async def take_in(  # noqa: PLR0913 - the trace is beside what the request is made of
    ports: Ports,
    key: RecordingKey,
    upload: Upload,
    body: AsyncIterator[bytes],
    query: Fields,
    *,
    traceparent: str | None = None,
) -> RecordingReceived:
    """Store the upload and put it on record: blobs, then row. Take back what was not promised.

    `query` are fields given beside the body; the body's own prevail.
    """
    request_of(query)
    try:
        async for file in upload.files(body):
            await ports.blobs.put(key.audio_right if file.is_right else key.audio, file.chunks())
        ended = ports.clock()
        request = request_of({**query, **upload.fields})
        await ports.blobs.put_json(key.request, request)
        received = received_event(key, upload.audio)
        age = (ports.clock() - ended).total_seconds()
        await ports.record.accept(received, upload.audio, request, age, traceparent)
    except BaseException:
        await discard_unless_promised(ports, key)
        raise
    return received


def received_event(key: RecordingKey, audio: Audio) -> RecordingReceived:
    """The event that says what lies where."""
    return RecordingReceived(
        tenant=key.tenant,
        recording=key.recording,
        run=1,
        audio=key.audio,
        audio_right=key.audio_right if audio.files > 1 else None,
        request=key.request,
        duration=audio.duration,
    )


async def discard_unless_promised(ports: Ports, key: RecordingKey) -> None:
    """Take back what was stored, unless the row is there: a commit may have lost its answer.

    With the database or the store away, blobs that nobody refers to stay; nothing is lost by it.
    """
    with suppress(Unavailable):
        if await ports.record.find(key.tenant, key.recording) is None:
            for blob in (key.audio, key.audio_right, key.request):
                await ports.blobs.delete(blob)


async def announce(ports: Ports, received: RecordingReceived, traceparent: str) -> bool:
    """Publish the event; tell whether the broker has it. If not, the sweep publishes it later."""
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
    """The recording as soon as it has ended, or as it is after `seconds`."""
    ends = (f"{kind.type}.{tenant}.{recording}" for kind in (RecordingCompleted, RecordingFailed))
    deadline = asyncio.get_running_loop().time() + seconds
    async with ports.notices.heard(*ends) as notice:
        while True:
            notice.clear()
            session = await ports.record.find(tenant, recording)
            left = deadline - asyncio.get_running_loop().time()
            if session is None or session.terminal or left <= 0:
                return session
            await _first(notice, min(left, LOOK_AGAIN))


async def _first(notice: asyncio.Event, seconds: float) -> None:
    """Wait for the notice. Not by `wait_for`, which may lose a cancellation on Python 3.11."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await notice.wait()
