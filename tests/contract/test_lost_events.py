"""Any one event lost, to all its consumers or to one of them: the run ends all the same.

The real handlers and the real record, around a broker in memory that loses it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from obstore.store import MemoryStore

from events import (
    EVENTS,
    ChannelTranscribed,
    DeliveryParked,
    Envelope,
    Event,
    RecordingCompleted,
    RecordingFailed,
    RecordingReceived,
    RecordingSplit,
    TranscriptMerged,
    TranscriptSummarized,
)
from events.documents import Engine, Request, SummaryContent, Transcript
from functions.merge.handler import merge
from functions.persist.adapters import PostgresRecordWriter
from functions.persist.handler import persist
from functions.persist.sweep import LastEvent, sweep_once
from functions.persist.sweep_adapters import PostgresOpenRuns
from functions.split.handler import split
from functions.summarize.handler import summarize
from functions.summarize.summarizer import SummaryResult
from functions.transcribe.handler import transcribe
from functions.transcribe.recognizer import FROM_START, Hypothesis, ResumePoint, Samples
from shared.audio.formats import Limits
from shared.blobs import ObjectBlobs
from shared.cloudevent import IncomingEvent, park
from shared.errors import Permanent
from shared.function import Function
from shared.record.database import Database
from tests.support.examples import BOTH, ENGINE, received, segment, stream, wav_file
from tests.support.records import accept, on
from tests.support.sounds import FakeDecoder

pytest_plugins = ["tests.support.databases"]
TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"
PATIENCE = timedelta(seconds=10)
LATER = timedelta(hours=2)
MOST_SWEEPS = 3


@dataclass
class Recognizer:
    """Says the same on every channel, or gives up."""

    gives_up: bool = False
    engine: Engine = ENGINE

    async def recognize(
        self, _: AsyncIterator[Samples], __: Request, ___: ResumePoint = FROM_START
    ) -> AsyncGenerator[Hypothesis, None]:
        if self.gives_up:
            raise Permanent("unsupported_language", "The model does not know it.")
        yield Hypothesis((segment(),))


class Summarizer:
    engine = ENGINE

    async def summarize(self, transcript: Transcript, _: Request) -> SummaryResult:
        text = f"{len(transcript.segments)} segments"
        content = SummaryContent(text=text, key_points=(), sentiment="neutral", sentiment_score=0.0)
        return SummaryResult(content, self.engine)


@dataclass(frozen=True)
class Loss:
    """One event of a type is lost: to the function of this name, or to all and the broker."""

    model: type[Event]
    function: str | None = None


@dataclass
class Pipeline:
    """The functions around a broker that loses one event, once."""

    functions: dict[str, tuple[Function[...], dict[str, Any]]]
    loss: Loss | None = None
    lost: Envelope[Event] | None = None
    published: list[Envelope[Event]] = field(default_factory=list)
    _kept: dict[str, LastEvent] = field(default_factory=dict)
    _delivered: int = 0

    async def publish(self, envelope: Envelope[Event]) -> None:
        """Keep the event, unless its message id is there already: JetStream drops it then."""
        if envelope.message_id not in {one.message_id for one in self.published}:
            self.published.append(envelope)
            kept = LastEvent(envelope.data.run, datetime.now(UTC), "done")
            self._kept[envelope.data.subject] = kept

    async def last_event(self, subject: str) -> LastEvent | None:
        return self._kept.get(subject)

    async def drain(self) -> None:
        """Deliver every event to every function that takes its type."""
        while self._delivered < len(self.published):
            envelope = self.published[self._delivered]
            self._delivered += 1
            missed = self._lose(envelope)
            for name, (function, _) in self.functions.items():
                if isinstance(envelope.data, function.accepts) and name not in missed:
                    await self._deliver(envelope, name)

    def _lose(self, envelope: Envelope[Event]) -> Collection[str]:
        """Lose the event if it is the one; return the functions that do not get it."""
        loss = self.loss
        if loss is None or self.lost is not None or not isinstance(envelope.data, loss.model):
            return ()
        self.lost = envelope
        if loss.function is not None:
            return (loss.function,)
        del self._kept[envelope.data.subject]
        return tuple(self.functions)

    async def _deliver(self, envelope: Envelope[Event], name: str) -> None:
        function, ports = self.functions[name]
        delivery = IncomingEvent(envelope.attributes, None)
        outputs: Sequence[Event]
        try:
            outputs = await function(envelope.data, **ports)
        except Permanent as error:
            outputs = [
                park(delivery, name, error_class="permanent", error_code=error.code, attempts=1)
            ]
        for output in outputs:
            await self.publish(delivery.causes(output, name, datetime.now(UTC)))


async def pipeline(database: Database, loss: Loss | None, recognizer: Recognizer) -> Pipeline:
    """The pipeline with one recording in it, whose event is at the broker."""
    blobs = ObjectBlobs(MemoryStore())
    await blobs.put(received().audio, stream([wav_file()]))
    await accept(database, traceparent=TRACE)
    none_degraded: tuple[str, ...] = ()
    own: dict[str, tuple[Function[...], dict[str, Any]]] = {
        "split": (split, {"limits": Limits(), "decoder": FakeDecoder()}),
        "transcribe": (
            transcribe,
            {"recognizer": recognizer, "serves": BOTH, "degraded": none_degraded},
        ),
        "merge": (merge, {}),
        "summarize": (summarize, {"summarizer": Summarizer()}),
        "persist": (persist, {"record": PostgresRecordWriter(database)}),
    }
    functions = {name: (one, {**ports, "blobs": blobs}) for name, (one, ports) in own.items()}
    made = Pipeline(functions, loss)
    await made.publish(Envelope(received(), "/pocwhisp/ingest", datetime.now(UTC), None, TRACE))
    return made


async def sweeps_until_announced(pipeline: Pipeline, open_runs: PostgresOpenRuns) -> int:
    """Sweep every two hours until no run is left."""
    await pipeline.drain()
    for number in range(MOST_SWEEPS):
        now = datetime.now(UTC) + (number + 1) * LATER
        if (await sweep_once(open_runs, pipeline, now, PATIENCE)).examined == 0:
            return number
        await pipeline.drain()
    return MOST_SWEEPS


def end(url: str, loss: Loss | None, recognizer: Recognizer) -> Pipeline:
    """Lose the event, sweep, and return what there is then."""

    async def work() -> Pipeline:
        async with (
            Database.open(url, "pocwhisp_app") as app,
            Database.open(url, "pocwhisp_system", size=1) as system,
        ):
            made = await pipeline(app, loss, recognizer)
            assert await sweeps_until_announced(made, PostgresOpenRuns(system)) < MOST_SWEEPS
            return made

    return asyncio.run(work())


LOSSES = [
    *(Loss(model) for model in EVENTS.values() if model not in (DeliveryParked, RecordingFailed)),
    Loss(RecordingReceived, "split"),
    Loss(RecordingSplit, "transcribe"),
    Loss(ChannelTranscribed, "merge"),
    Loss(ChannelTranscribed, "persist"),
    Loss(TranscriptMerged, "summarize"),
    Loss(TranscriptMerged, "persist"),
    Loss(TranscriptSummarized, "persist"),
]


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_a_run_is_completed_whichever_event_is_lost(url: str, loss: Loss) -> None:
    made = end(url, loss, Recognizer())
    assert made.lost is not None
    assert isinstance(made.published[-1].data, RecordingCompleted)
    assert traces(made) == {TRACE.split("-")[1]}


@pytest.mark.parametrize("model", [DeliveryParked, RecordingFailed])
def test_a_run_that_cannot_succeed_is_failed_though_the_news_of_it_is_lost(
    url: str, model: type[Event]
) -> None:
    made = end(url, Loss(model), Recognizer(gives_up=True))
    assert made.lost is not None
    assert isinstance(made.published[-1].data, RecordingFailed)
    assert traces(made) == {TRACE.split("-")[1]}


def test_channels_of_two_releases_are_not_joined_until_one_release_made_both(url: str) -> None:
    """A rolling upgrade: each channel has a deployment of its own, and the right's comes later."""
    newer = ENGINE.model_copy(update={"revision": "2"})
    right = Recognizer()

    async def work(app: Database) -> None:
        made = await pipeline(app, None, Recognizer(engine=newer))
        function, ports = made.functions["transcribe"]
        made.functions["transcribe"] = function, {**ports, "serves": ("left",)}
        made.functions["transcribe-right"] = (
            function,
            {**ports, "recognizer": right, "serves": ("right",)},
        )
        await made.drain()
        assert not any(isinstance(one.data, TranscriptMerged) for one in made.published)
        right.engine = newer
        async with Database.open(url, "pocwhisp_system", size=1) as system:
            assert await sweeps_until_announced(made, PostgresOpenRuns(system)) < MOST_SWEEPS
        assert isinstance(made.published[-1].data, RecordingCompleted)
        kept = await ports["blobs"].get_json(received().run_key.transcript, Transcript)
        assert kept.engine == newer

    on(url, work)


def traces(made: Pipeline) -> set[str]:
    return {str(envelope.traceparent).split("-")[1] for envelope in made.published}
