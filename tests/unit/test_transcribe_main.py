"""The composition root of transcribe: what is opened is closed, and a broken engine ends it."""

import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from types import FrameType

import pytest

from events.documents import Engine, Request
from functions.transcribe import main
from functions.transcribe.engines import RecognizerChoice
from functions.transcribe.recognizer import FROM_START, Hypothesis, ResumePoint, Samples
from functions.transcribe.whisper.models import NoEngine
from shared.settings import StoreSettings
from tests.support.examples import ENGINE


class FakeRecognizer:
    """Remembers what was called; warming it fails if it has no `model`."""

    def __init__(self, *, model: bool = True) -> None:
        self.called: list[str] = []
        self.breaks = asyncio.Event()
        self._model = model
        self.totals = None

    @property
    def engine(self) -> Engine:
        return ENGINE

    async def warm(self) -> None:
        self.called.append("warm")
        if not self._model:
            raise NoEngine("no model")

    async def check(self) -> None:
        raise NotImplementedError

    async def until_broken(self) -> None:
        await self.breaks.wait()

    async def close(self) -> None:
        self.called.append("close")

    def recognize(
        self, blocks: AsyncIterator[Samples], request: Request, resume: ResumePoint = FROM_START
    ) -> AsyncGenerator[Hypothesis, None]:
        raise NotImplementedError


def choose(monkeypatch: pytest.MonkeyPatch, recognizer: FakeRecognizer) -> FakeRecognizer:
    monkeypatch.setattr(main, "choose_recognizer", lambda _: RecognizerChoice(recognizer))
    return recognizer


async def opened() -> None:
    async with main.compose():
        pass


def test_a_process_whose_engine_is_broken_for_good_is_told_to_drain() -> None:
    async def scenario() -> None:
        recognizer, told = FakeRecognizer(), asyncio.Event()

        def note(_: int, __: FrameType | None) -> None:
            told.set()

        before = signal.signal(signal.SIGTERM, note)
        try:
            async with main.running(recognizer):
                recognizer.breaks.set()
                await told.wait()
        finally:
            signal.signal(signal.SIGTERM, before)

    asyncio.run(scenario())


def test_a_recogniser_that_could_not_be_warmed_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = choose(monkeypatch, FakeRecognizer(model=False))
    with pytest.raises(NoEngine):
        asyncio.run(opened())
    assert recognizer.called == ["warm", "close"]


def test_without_its_stores_no_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "stores", StoreSettings(blobs_url="nonsense://"))
    recognizer = choose(monkeypatch, FakeRecognizer())
    with pytest.raises(Exception, match="nonsense"):
        asyncio.run(opened())
    assert recognizer.called == []
