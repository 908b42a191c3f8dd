"""ingest's API over ports in memory, as its clients see it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from obstore.store import MemoryStore

from events import Envelope, Event, RecordingReceived
from events.base import RunState
from events.documents import Request
from functions.ingest.http.app import create_api
from functions.ingest.http.dependencies import Dependencies
from functions.ingest.metrics import SystemMetrics, UploadCounter
from functions.ingest.ports import Ports
from functions.ingest.settings import Settings
from functions.ingest.views import (
    Engines,
    Metadata,
    ModelVersions,
    Page,
    Pagination,
    RequestView,
    Session,
    TranscriptView,
)
from shared.blobs import ObjectBlobs
from shared.ports import Check, utc_now
from shared.recording import Position, UploadedAudio
from shared.runtime import Lifespan
from tests.support.examples import wav_file

PATH = "/api/v1/transcribe"


def session_of(
    recording: UUID, state: RunState = "queued", transcript: TranscriptView | None = None
) -> Session:
    """A recording of two seconds in this state."""
    metadata = Metadata(
        duration=2.0, processing_time=None, file_name="call.wav", run=1,
        created_at=datetime(2026, 3, 1, tzinfo=UTC), channels=2, sample_rate=8_000,
        container="wav", levels=[], quality=None, languages=[], echoes=[], warnings=[],
        model_versions=ModelVersions(), degraded=[],
    )  # fmt: skip
    return Session(
        session_id=recording, status=state, check_url=f"{PATH}/{recording}", progress=[],
        transcript=transcript, metadata=metadata, request=RequestView(),
    )  # fmt: skip


@dataclass
class MemoryRecord:
    """`ports.Record` in memory. What `before` says of a method is done before it."""

    sessions: dict[UUID, Session] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    starts: list[Position | None] = field(default_factory=list)

    async def accept(
        self,
        received: RecordingReceived,
        audio: UploadedAudio,
        request: Request,
        age: float,
        traceparent: str | None = None,
    ) -> None:
        del audio, request, age, traceparent
        self._begin("accept")
        self.sessions[received.recording] = session_of(received.recording)
        self._begin("accepted")

    async def find(self, tenant: str, recording: UUID) -> Session | None:
        del tenant
        self._begin("find")
        return self.sessions.get(recording)

    async def state(self, tenant: str, recording: UUID) -> RunState | None:
        del tenant
        self._begin("state")
        session = self.sessions.get(recording)
        return None if session is None else session.status

    async def page(
        self,
        tenant: str,
        state: RunState | None,
        limit: int,
        offset: int,
        start: Position | None = None,
    ) -> Page:
        del tenant, state
        self._begin("page")
        self.starts.append(start)
        total = len(self.sessions)
        return Page(sessions=[], pagination=Pagination(limit=limit, offset=offset, total=total))

    async def engines(self, tenant: str) -> Engines:
        del tenant
        self._begin("engines")
        return Engines(recognizer="test 1")

    async def metrics(self) -> SystemMetrics:
        self._begin("metrics")
        return SystemMetrics({}, {}, {}, {}, 0.0, 0.0, None, {})

    def _begin(self, name: str) -> None:
        self.calls.append(name)
        self.before.get(name, lambda: None)()


@dataclass
class MemoryBroker:
    """`Publisher` and `ports.Notices`: what is published, and an error for either."""

    published: list[Envelope[Event]] = field(default_factory=list)
    away: Exception | None = None
    deaf: Exception | None = None

    async def publish(self, envelope: Envelope[Event]) -> None:
        if self.away is not None:
            raise self.away
        self.published.append(envelope)

    @asynccontextmanager
    async def subscribe(self, *subjects: str) -> AsyncIterator[asyncio.Event]:
        del subjects
        if self.deaf is not None:
            raise self.deaf
        yield asyncio.Event()


@dataclass
class MemoryApi:
    """The API, its ports, and what is asked of it."""

    record: MemoryRecord = field(default_factory=MemoryRecord)
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    blobs: ObjectBlobs = field(default_factory=lambda: ObjectBlobs(MemoryStore()))
    checks: Mapping[str, Check] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    waiting_places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """The answer to one request; `options` are httpx's."""
        return asyncio.run(self._ask(method, path, options))

    def upload(self, query: str = "", **options: Any) -> httpx.Response:  # noqa: ANN401
        """The answer to the upload of a call, unless `options` say what is sent."""
        return self.ask("POST", PATH + query, **(options or {"files": {"audio": wav_file()}}))

    def kept(self) -> list[str]:
        """The keys of the blobs in the store."""
        return [blob["path"] for page in self.blobs._store.list() for blob in page]  # noqa: SLF001

    def app(self) -> FastAPI:
        """The API itself. It is made once, which takes a while, and only its dependencies anew."""
        api = _api()
        current = Dependencies(
            Lifespan(self._compose).get, self.settings, UploadCounter(), self.waiting_places
        )
        api.state.dependencies = current
        return api

    async def _ask(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as http:
            return await http.request(method, path, **options)

    @asynccontextmanager
    async def _compose(self) -> AsyncIterator[Ports]:
        broker = self.broker
        yield Ports(self.record, self.blobs, broker, broker, utc_now, self.checks)


@cache
def _api() -> FastAPI:
    return create_api(Lifespan(MemoryApi()._compose), Settings())  # noqa: SLF001
