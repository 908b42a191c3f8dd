"""The ports of ingest."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from events import RecordingReceived
from events.base import RunState
from events.documents import Request
from functions.ingest.metrics import SystemMetrics
from functions.ingest.views import Engines, Page, Session
from shared.ports import Blobs, Check, Clock, Publisher
from shared.recording import Position, UploadedAudio


class Record(Protocol):
    """The record as ingest uses it. All raise `errors.Unavailable` while the database is away."""

    async def accept(
        self,
        received: RecordingReceived,
        audio: UploadedAudio,
        request: Request,
        age: float,
        traceparent: str | None = None,
    ) -> None:
        """Insert the recording, its run 1 and its first stage. Its upload ended `age` seconds ago.

        `traceparent` is kept for events that are sent again.
        """
        ...

    async def find(self, tenant: str, recording: UUID) -> Session | None:
        """Return the recording with its latest run. Returns None if there is none."""
        ...

    async def state(self, tenant: str, recording: UUID) -> RunState | None:
        """Return the state of the recording's latest run. Returns None if there is none."""
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
        """Return the engines of the tenant's run that ended last."""
        ...

    async def metrics(self) -> SystemMetrics:
        """Return counts and times of the whole system."""
        ...


class Notices(Protocol):
    """Notices of events, as hints to read the record again."""

    def subscribe(self, *subjects: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """Yield an event that is set when a message passes on one of the subjects."""
        ...


@dataclass(frozen=True)
class Ports:
    """The open ports, and the checks of their parts by name."""

    record: Record
    blobs: Blobs
    publisher: Publisher
    notices: Notices
    clock: Clock
    checks: Mapping[str, Check]
