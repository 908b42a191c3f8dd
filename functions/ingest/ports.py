"""What ingest needs of the world."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from events import RecordingReceived
from events.base import RunState
from events.documents import Request
from functions.ingest.figures import SystemFigures
from functions.ingest.http.paging import Position
from functions.ingest.http.views import Engines, Page, Session
from functions.ingest.upload.upload import UploadedAudio
from shared.ports import Blobs, Check, Clock, Publisher


class Record(Protocol):
    """What ingest writes and reads. All raise `errors.Unavailable` while the database is away."""

    async def accept(
        self,
        received: RecordingReceived,
        audio: UploadedAudio,
        request: Request,
        age: float,
        traceparent: str | None = None,
    ) -> None:
        """Promise the recording, whose upload ended `age` seconds ago: row, run 1, first stage.

        `traceparent` is kept for events that are sent again.
        """
        ...

    async def find(self, tenant: str, recording: UUID) -> Session | None:
        """The recording with its latest run, or None."""
        ...

    async def page(
        self,
        tenant: str,
        state: RunState | None,
        limit: int,
        offset: int,
        start: Position | None = None,
    ) -> Page:
        """Return a page of the tenant's recordings, newest first, and their number in all.

        It begins at `start` if given, else after `offset` others.
        """
        ...

    async def engines(self, tenant: str) -> Engines:
        """The engines of the run that ended last."""
        ...

    async def figures(self) -> SystemFigures:
        """Counts and times of the whole system."""
        ...


class Notices(Protocol):
    """Tells when to look at the record again."""

    def subscribe(self, *subjects: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set when a message passes on a subject."""
        ...


@dataclass(frozen=True)
class Ports:
    """The ports, and what must answer by its name."""

    record: Record
    blobs: Blobs
    publisher: Publisher
    notices: Notices
    clock: Clock
    checks: Mapping[str, Check]
