"""How far JetStream is with an event, as the sweep sees it on a real nats-server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import UUID

import pytest
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RawStreamMsg, StreamConfig

from events import Envelope, Event, RecordingSplit, TranscriptMerged
from functions.persist.sweep import DeliveryState, LastEvent
from functions.persist.sweep_broker import JetStreamBroker
from shared.bus import Bus
from shared.errors import Unavailable
from tests.support.examples import merged, received, was_split
from tests.support.servers import NatsServer, nats_server

EVENT = was_split()
LEAST = timedelta(minutes=1)


class Streams:
    """A broker's streams and consumers, and what the sweep sees of them."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    @property
    def stream_context(self) -> JetStreamContext:
        return self.bus.stream_context

    async def stream(self, name: str = "POCWHISP", subjects: str = "io.pocwhisp.>") -> None:
        await self.stream_context.add_stream(StreamConfig(name=name, subjects=[subjects]))

    async def consumer(
        self, name: str, stream: str = "POCWHISP", filtered: str | None = f"{EVENT.type}.>"
    ) -> JetStreamContext.PullSubscription:
        config = ConsumerConfig(
            durable_name=name, filter_subject=filtered, ack_policy=AckPolicy.EXPLICIT
        )
        await self.stream_context.add_consumer(stream, config)
        return await self.stream_context.pull_subscribe_bind(name, stream)

    async def publish(self, *events: Event) -> None:
        for event in events:
            await self.bus.publish(Envelope(event, "/pocwhisp/test", datetime.now(UTC)))

    async def last_event(self, event: Event = EVENT) -> LastEvent | None:
        return await JetStreamBroker(self.bus).last_event(event.subject)

    async def state(self, event: Event = EVENT) -> DeliveryState:
        kept = await self.last_event(event)
        assert kept is not None
        return kept.state


@asynccontextmanager
async def connected(server: NatsServer) -> AsyncIterator[Streams]:
    async with Bus.connect(server.url) as bus:
        yield Streams(bus)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def on_broker(server: NatsServer) -> "OnBroker":
    """Do the work with a broker that has no streams."""

    def run(work: Callable[[Streams], Awaitable[None]]) -> None:
        async def connect() -> None:
            async with connected(server) as broker:
                for stream in await broker.stream_context.streams_info():
                    await broker.stream_context.delete_stream(str(stream.config.name))
                await work(broker)

        asyncio.run(connect())

    return run


OnBroker = Callable[[Callable[[Streams], Awaitable[None]]], None]


@pytest.mark.parametrize("name", ["transcribe--recording-split-v1", "KN_SUB_0A1B_2C3D"])
@pytest.mark.parametrize("filtered", [f"{EVENT.type}.>", None])
def test_an_event_waits_then_is_held_then_done(
    on_broker: OnBroker, name: str, filtered: str | None
) -> None:
    async def work(broker: Streams) -> None:
        await broker.stream()
        function = await broker.consumer(name, filtered=filtered)
        await broker.publish(EVENT)
        assert await broker.state() == "waiting"
        [message] = await function.fetch()
        assert await broker.state() == "held"
        await message.ack_sync()
        assert await broker.state() == "done"

    on_broker(work)


def test_it_waits_as_long_as_it_does_for_one_of_its_consumers(on_broker: OnBroker) -> None:
    async def work(broker: Streams) -> None:
        await broker.stream()
        transcribe = await broker.consumer("transcribe--recording-split-v1")
        persist = await broker.consumer("persist--recording-split-v1")
        await broker.consumer("summarize--transcript-merged-v1", filtered=f"{merged().type}.>")
        await broker.publish(merged(), EVENT)
        for consumer, state in ((persist, "waiting"), (transcribe, "done")):
            [message] = await consumer.fetch()
            await message.ack_sync()
            assert await broker.state() == state

    on_broker(work)


def test_what_is_acknowledged_out_of_order_counts_as_held_for_a_while(on_broker: OnBroker) -> None:
    async def work(broker: Streams) -> None:
        await broker.stream()
        function = await broker.consumer("transcribe--recording-split-v1")
        await broker.publish(was_split(UUID(int=1)), EVENT)
        first, second = await function.fetch(2)
        await second.ack_sync()
        assert await broker.state() == "held"
        await first.term()
        await broker.bus.client.flush()
        assert await broker.state() == "done"

    on_broker(work)


def test_a_subscriber_that_is_no_function_is_not_waited_for(on_broker: OnBroker) -> None:
    async def work(broker: Streams) -> None:
        await broker.stream()
        function = await broker.consumer("transcribe--recording-split-v1")
        await broker.consumer("crm")
        await broker.publish(EVENT)
        [message] = await function.fetch()
        await message.ack_sync()
        assert await broker.state() == "done"

    on_broker(work)


def test_without_a_consumer_an_event_counts_as_held(on_broker: OnBroker) -> None:
    async def work(broker: Streams) -> None:
        await broker.stream()
        await broker.publish(EVENT)
        assert await broker.state() == "held"

    on_broker(work)


def test_the_last_event_of_a_subject_is_seen_with_its_run_and_time(on_broker: OnBroker) -> None:
    async def work(broker: Streams) -> None:
        await broker.stream()
        await broker.publish(EVENT, EVENT.model_copy(update={"run": 2}))
        kept = await broker.last_event()
        assert kept is not None
        assert kept.run == 2
        assert abs(datetime.now(UTC) - kept.sent) < LEAST

    on_broker(work)


def test_what_was_purged_and_what_has_no_stream_is_not_there(on_broker: OnBroker) -> None:
    async def work(broker: Streams) -> None:
        assert await broker.last_event() is None
        await broker.stream("SPLIT", f"{RecordingSplit.type}.>")
        await broker.stream("MERGED", f"{TranscriptMerged.type}.>")
        await broker.consumer("transcribe--recording-split-v1", "SPLIT")
        await broker.consumer("summarize--transcript-merged-v1", "MERGED", None)
        await broker.publish(EVENT, merged())
        assert await broker.state() == await broker.state(merged()) == "waiting"
        assert await broker.last_event(received()) is None
        await broker.stream_context.purge_stream("SPLIT", subject=f"{EVENT.type}.>")
        assert await broker.last_event() is None
        assert await broker.state(merged()) == "waiting"

    on_broker(work)


def test_a_broker_that_is_away_is_unavailable(tmp_path: Path) -> None:
    async def work() -> None:
        with nats_server(tmp_path) as server:
            async with connected(server) as broker:
                server.stop()
                with pytest.raises(Unavailable):
                    await broker.last_event()

    asyncio.run(work())


@pytest.mark.parametrize(
    "payload", [b"", b"no JSON", b"\xff", b"[1]", b"{}", b'{"correlationid": null}', b"[" * 100_000]
)
def test_a_message_that_is_no_event_counts_as_not_there(
    on_broker: OnBroker, payload: bytes
) -> None:
    async def work(broker: Streams) -> None:
        await broker.stream()
        await broker.stream_context.publish(EVENT.subject, payload)
        assert await broker.last_event() is None

    on_broker(work)


class StreamsOnRequest:
    """A stream context whose answer to `call` is given by the test, after a wait of nats-py's kind.

    It answers all other calls at once.
    """

    def __init__(self, call: str) -> None:
        self.call = call
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def find_stream_name_by_subject(self, _: str) -> object:
        return await self._answer("find_stream_name_by_subject", "POCWHISP")

    async def consumers_info(self, _: str, offset: int) -> object:
        del offset
        return await self._answer("consumers_info", [])

    async def get_last_msg(self, *_: str) -> object:
        return await self._answer("get_last_msg", RawStreamMsg(data=b"{}"))

    async def _answer(self, call: str, otherwise: object) -> object:
        if call != self.call:
            return otherwise
        self.asked.set()
        return await asyncio.wait_for(self.answer, 60)


@pytest.mark.parametrize("call", ["find_stream_name_by_subject", "consumers_info", "get_last_msg"])
def test_a_cancellation_that_comes_with_the_answer_ends_the_look_up(call: str) -> None:
    """On Python 3.11 `asyncio.wait_for`, with which nats-py waits, would lose it."""

    async def checked() -> None:
        """The broker is there."""

    async def work() -> None:
        streams = StreamsOnRequest(call)
        broker = JetStreamBroker(
            cast("Bus", SimpleNamespace(check=checked, stream_context=streams))
        )
        looking = asyncio.create_task(broker.last_event(EVENT.subject))
        await streams.asked.wait()
        await asyncio.sleep(0)
        streams.answer.set_result([] if call == "consumers_info" else RawStreamMsg(data=b"{}"))
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking

    asyncio.run(work())
