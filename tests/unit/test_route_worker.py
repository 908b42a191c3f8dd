"""What a route worker does with its deliveries."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from events import ChannelTranscribed, DeliveryParked, Envelope, Event
from infra.dispatcher.route_worker import WAITING_FOR_FUNCTION, RouteWorker
from infra.dispatcher.settings import DispatchSettings, EventRoute
from shared.errors import Unavailable
from shared.ports import utc_now
from tests.fakes.consumer import EPOCH, FakeConsumer
from tests.fakes.function import DIED, NOT_UP, SILENT, FakeFunction
from tests.support.dispatching import TRACE, route_to, transcribed
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

QUICK = {"backoff_base": 0.001, "backoff_cap": 0.002, "outage_cap": 0.002, "max_attempts": 3}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def consumer() -> FakeConsumer:
    return FakeConsumer()


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as lines:
        yield lines


class FakePublisher:
    def __init__(self, *, broker_away: int = 0) -> None:
        self.published: list[Envelope[Event]] = []
        self.broker_away = broker_away

    async def publish(self, envelope: Envelope[Event]) -> None:
        if self.broker_away:
            self.broker_away -= 1
            raise Unavailable("The broker is away.")
        self.published.append(envelope)


def payload(event: Event) -> bytes:
    envelope = Envelope(data=event, source="/pocwhisp/test", time=utc_now(), traceparent=TRACE)
    return json.dumps(envelope.structured()).encode()


def a_worker(
    consumer: FakeConsumer,
    function: FakeFunction,
    publisher: FakePublisher | None = None,
    *,
    route: dict[str, object] | None = None,
    **settings: float,
) -> RouteWorker:
    return RouteWorker(
        EventRoute.model_validate(route or route_to("http://merge.test/")),
        consumer,
        function.client,
        publisher or FakePublisher(),
        DispatchSettings.model_validate({**QUICK, **settings}),
    )


@asynccontextmanager
async def running(worker: RouteWorker) -> AsyncIterator[asyncio.Task[None]]:
    work = asyncio.create_task(worker.run())
    try:
        yield work
    finally:
        work.cancel()
        await asyncio.wait({work})
        await worker.drain(0)


def words(logs: list[MutableMapping[str, Any]], word: str) -> list[MutableMapping[str, Any]]:
    return [line for line in logs if line["event"] == word]


async def let_pass() -> None:
    """Let everybody go on until nobody has anything to do at once."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_a_failed_delivery_comes_again_until_it_succeeds(
    consumer: FakeConsumer, logs: list[MutableMapping[str, Any]]
) -> None:
    function = FakeFunction(500, 500, 204)
    consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, function)):
        await until(lambda: consumer.acked == [1])
    assert [line["attempts"] for line in words(logs, "retried")] == [1, 2]
    assert [delay for _, delay in consumer.delays] == [0.001, 0.002]
    assert [request.headers["x-pocwhisp-attempt"] for request in function.received] == list("123")


async def test_the_last_attempt_parks_the_event_with_what_the_function_answered(
    consumer: FakeConsumer,
) -> None:
    event, publisher = transcribed(), FakePublisher()
    function = FakeFunction(default=(500, b'{"error": "transient", "message": "not for it"}'))
    consumer.put(payload(event))
    async with running(a_worker(consumer, function, publisher)):
        await until(lambda: consumer.acked == [1])
    assert len(function.received) == 3
    [parked] = publisher.published
    assert parked.data == DeliveryParked(
        tenant="default",
        recording=event.recording,
        run=2,
        function="merge",
        original_id=event.event_id,
        original_type=event.type,
        attempts=3,
        error_class="exhausted",
        error_code="transient",
    )
    assert (parked.source, parked.causationid) == ("/pocwhisp/dispatcher", event.event_id)
    assert parked.traceparent is not None
    assert parked.traceparent.split("-")[1] == TRACE.split("-")[1]


async def test_a_refused_event_is_parked_at_once_as_a_defect(
    consumer: FakeConsumer, logs: list[MutableMapping[str, Any]]
) -> None:
    publisher = FakePublisher()
    consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, FakeFunction(404), publisher)):
        await until(lambda: consumer.acked == [1])
    [parked] = publisher.published
    assert isinstance(parked.data, DeliveryParked)
    assert (parked.data.error_class, parked.data.error_code) == ("permanent", "http_404")
    assert "defect" in words(logs, "parked")[0]


async def test_an_event_is_not_given_up_before_the_broker_has_its_parked_delivery(
    consumer: FakeConsumer,
) -> None:
    publisher = FakePublisher(broker_away=2)
    consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, FakeFunction(404, 404, 404), publisher)):
        await until(lambda: consumer.acked)
    assert [sequence for sequence, _ in consumer.delays] == [1, 1]
    assert consumer.acked == [1]
    assert len(publisher.published) == 1


async def test_an_outage_behind_the_function_neither_counts_nor_parks(
    consumer: FakeConsumer, logs: list[MutableMapping[str, Any]]
) -> None:
    function = FakeFunction(500, *[503] * 6, 500, 204)
    consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, function)):
        await until(lambda: consumer.acked == [1])
    assert not words(logs, "parked")
    assert words(logs, "retried")[-1]["attempts"] == 2


async def test_a_function_that_is_not_up_gets_its_events_when_it_is(
    consumer: FakeConsumer, logs: list[MutableMapping[str, Any]]
) -> None:
    consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, FakeFunction(*[NOT_UP] * 5, 204))):
        await until(lambda: consumer.acked == [1])
    assert {line["reason"] for line in words(logs, "retried")} == {"function_not_up"}
    assert {line["attempts"] for line in words(logs, "retried")} == {0}


async def test_an_event_that_its_function_dies_of_is_parked_at_last(
    consumer: FakeConsumer,
) -> None:
    publisher = FakePublisher()
    consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, FakeFunction(default=DIED), publisher)):
        await until(lambda: consumer.acked == [1])
    [parked] = publisher.published
    assert isinstance(parked.data, DeliveryParked)
    assert (parked.data.error_code, parked.data.attempts) == ("function_died", 3)


async def test_a_function_that_hangs_costs_its_events_no_attempt(
    consumer: FakeConsumer, logs: list[MutableMapping[str, Any]]
) -> None:
    hung = asyncio.Event()
    function = FakeFunction(*[hung.wait] * 5, 204)
    function.probes = lambda: SILENT
    consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, function, ack_wait=0.003)):
        await until(lambda: consumer.acked == [1])
    assert {line["reason"] for line in words(logs, "retried")} == {"function_silent"}
    assert {line["attempts"] for line in words(logs, "retried")} == {0}


async def test_a_delivery_is_kept_from_coming_again_while_its_function_works(
    consumer: FakeConsumer,
) -> None:
    consumer.put(payload(transcribed()))

    async def long_work() -> int:
        await until(lambda: len(consumer.extended) > 2)
        return 204

    async with running(a_worker(consumer, FakeFunction(long_work), ack_wait=0.003)):
        await until(lambda: consumer.acked == [1])
    assert not consumer.delays


async def test_work_beyond_its_cap_is_given_up_although_the_function_is_alive(
    consumer: FakeConsumer, logs: list[MutableMapping[str, Any]]
) -> None:
    endless = asyncio.Event()
    consumer.put(payload(transcribed(duration=0.5)))
    function = FakeFunction(endless.wait, 204)
    worker = a_worker(consumer, function, ack_wait=0.003, work_floor=0.001, work_factor=0.02)
    clock = asyncio.get_running_loop().time
    started = clock()
    async with running(worker):
        await until(lambda: consumer.acked == [1])
    assert clock() - started >= 0.01
    assert [line["reason"] for line in words(logs, "retried")] == ["function_timeout"]


@pytest.mark.parametrize("in_flight", [1, 3])
async def test_no_more_than_the_routes_number_is_in_flight_and_no_less(
    consumer: FakeConsumer, in_flight: int
) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 204

    function = FakeFunction(default=slow)
    for _ in range(9):
        consumer.put(payload(transcribed()))
    route = route_to("http://merge.test/", in_flight=in_flight)
    async with running(a_worker(consumer, function, route=route)):
        await until(lambda: len(function.received) == in_flight)
        await let_pass()
        assert len(function.received) == in_flight
        gate.set()
        await until(lambda: len(consumer.acked) == 9)
    assert function.most_at_once == in_flight


async def test_what_comes_again_while_it_is_at_work_is_not_posted_twice(
    consumer: FakeConsumer,
) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 204

    function = FakeFunction(default=slow)
    again = payload(transcribed())
    consumer.put(again, sequence=7)
    consumer.put(again, sequence=7)
    async with running(
        a_worker(consumer, function, route=route_to("http://merge.test/", in_flight=2))
    ):
        await until(lambda: consumer.extended == [7])
        await let_pass()
        assert len(function.received) == 1
        gate.set()
        await until(lambda: consumer.acked == [7])
    assert len(function.received) == 1


async def test_the_first_event_of_a_wiped_broker_inherits_no_failures(
    consumer: FakeConsumer,
) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 204

    function = FakeFunction(500, 500, slow, 204)
    consumer.put(payload(transcribed()), sequence=1)
    async with running(
        a_worker(consumer, function, route=route_to("http://merge.test/", in_flight=2))
    ):
        await until(lambda: len(function.received) == 3)
        consumer.put(payload(transcribed()), sequence=1, epoch=EPOCH + timedelta(days=1))
        await until(lambda: consumer.acked == [1])
        gate.set()
    assert [request.headers["x-pocwhisp-attempt"] for request in function.received] == list("1231")


async def test_an_unconfirmed_ack_is_logged_and_the_failures_stay_counted(
    consumer: FakeConsumer, logs: list[MutableMapping[str, Any]]
) -> None:
    event = payload(transcribed())
    consumer.confirms = False
    consumer.put(event, sequence=3)
    function = FakeFunction(500, 204, 204)
    async with running(a_worker(consumer, function)):
        await until(lambda: words(logs, "unconfirmed"))
        consumer.confirms = True
        consumer.put(event, sequence=3)
        await until(lambda: consumer.acked == [3])
    assert [request.headers["x-pocwhisp-attempt"] for request in function.received] == list("122")


NAMELESS = {"specversion": "1.0", "id": "1", "type": ChannelTranscribed.type, "source": "/x"}


@pytest.mark.parametrize(
    "broken",
    [b"no json", b"[]", b"{}", b'{"specversion": "1.0"}', b"\xff\xfe", b"[" * 100_000],
    ids=["text", "array", "empty", "bare", "bytes", "deep"],
)
async def test_what_is_no_event_is_logged_and_never_comes_again(
    consumer: FakeConsumer, logs: list[MutableMapping[str, Any]], broken: bytes
) -> None:
    function = FakeFunction()
    consumer.put(broken)
    consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, function)):
        await until(lambda: consumer.acked == [2])
    assert consumer.terminated == [1]
    assert [line["sequence"] for line in words(logs, "defect")] == [1]
    assert len(function.received) == 1


async def test_an_event_that_names_no_recording_is_dropped_rather_than_parked(
    consumer: FakeConsumer, logs: list[MutableMapping[str, Any]]
) -> None:
    function = FakeFunction(default=500)
    consumer.put(json.dumps(NAMELESS).encode())
    async with running(a_worker(consumer, function)):
        await until(lambda: consumer.terminated == [1])
    assert words(logs, "defect")
    assert len(function.received) == 3


async def test_a_surprise_ends_neither_the_line_nor_the_event(
    consumer: FakeConsumer, logs: list[MutableMapping[str, Any]]
) -> None:
    consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, FakeFunction(RuntimeError("a defect of ours"), 204))):
        await until(lambda: consumer.acked == [1])
    assert consumer.delays == [(1, QUICK["backoff_cap"])]
    assert len(words(logs, "defect")) == 1


PARKED = DeliveryParked(
    tenant="default",
    recording=uuid4(),
    run=1,
    function="merge",
    original_id="1",
    original_type=ChannelTranscribed.type,
    error_class="permanent",
    error_code="invalid_audio",
)


@pytest.mark.parametrize(
    ("function", "event"), [("persist", transcribed()), ("persist", PARKED), ("other", PARKED)]
)
async def test_what_persist_cannot_write_is_tried_on_and_never_parked(
    consumer: FakeConsumer, function: str, event: Event
) -> None:
    publisher = FakePublisher()
    consumer.put(payload(event))
    route = route_to("http://persist.test/", function=function, type=event.type)
    persist = FakeFunction(500, 404, *[500] * 9, 204)
    async with running(a_worker(consumer, persist, publisher, route=route)):
        await until(lambda: consumer.acked == [1])
    assert len(persist.received) == 12
    assert not publisher.published


async def test_events_that_wait_out_their_back_off_hold_no_other_up(
    consumer: FakeConsumer,
) -> None:
    most = 3 * WAITING_FOR_FUNCTION
    function = FakeFunction(*[500] * most, default=204)
    for _ in range(most + 1):
        consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, function, backoff_base=600, backoff_cap=600)):
        await until(lambda: most + 1 in consumer.acked)


async def test_the_more_events_persist_cannot_write_the_more_rarely_each_is_tried(
    consumer: FakeConsumer, logs: list[MutableMapping[str, Any]]
) -> None:
    most = 40
    written = payload(transcribed())
    route = route_to("http://persist.test/", function="persist")
    persist = FakeFunction(default=500)
    for _ in range(most):
        consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, persist, route=route)):
        await until(lambda: len(words(logs, "stuck")) == most)
        delays = len(consumer.delays)
        await until(lambda: len(consumer.delays) > delays + most)
        persist.default = 204
        consumer.put(written)
        await until(lambda: len(consumer.acked) == most + 1)
    per_attempt = DispatchSettings().policy.stuck_spacing
    assert all(delay >= most * per_attempt for _, delay in consumer.delays[delays + 1 : -1])
    assert [line["stuck"] for line in words(logs, "stuck")] == [*range(1, most + 1)]
    assert len({line["recording"] for line in words(logs, "stuck")}) == most
    assert words(logs, "unstuck")[-1]["stuck"] == 0


async def test_an_outage_tries_few_events_however_many_wait(consumer: FakeConsumer) -> None:
    function = FakeFunction(default=503)
    for _ in range(100):
        consumer.put(payload(transcribed()))
    route = route_to("http://merge.test/", in_flight=2)
    async with running(a_worker(consumer, function, route=route, backoff_base=600, outage_cap=600)):
        await until(lambda: len(function.received) == 2 + WAITING_FOR_FUNCTION)
        await let_pass()
    assert len(function.received) == 2 + WAITING_FOR_FUNCTION


async def test_after_an_outage_all_events_are_delivered(consumer: FakeConsumer) -> None:
    function = FakeFunction(*[503] * 50)
    for _ in range(100):
        consumer.put(payload(transcribed()))
    async with running(a_worker(consumer, function)):
        await until(lambda: len(consumer.acked) == 100)


async def test_a_stopped_line_pulls_no_more_and_lets_work_finish(consumer: FakeConsumer) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 204

    function = FakeFunction(slow)
    worker = a_worker(consumer, function)
    consumer.put(payload(transcribed()))
    async with running(worker) as work:
        await until(lambda: function.received)
        work.cancel()
        draining = asyncio.create_task(worker.drain(60))
        await let_pass()
        assert consumer.stopped
        gate.set()
        await draining
    assert consumer.acked == [1]
    assert not consumer.delays


async def test_what_the_grace_cuts_off_is_handed_back_at_once(consumer: FakeConsumer) -> None:
    endless = asyncio.Event()
    function = FakeFunction(default=endless.wait)
    worker = a_worker(consumer, function, route=route_to("http://merge.test/", in_flight=2))
    consumer.put(payload(transcribed()))
    consumer.put(payload(transcribed()))
    async with running(worker) as work:
        await until(lambda: len(function.received) == 2)
        work.cancel()
        await worker.drain(0)
        assert consumer.delays == [(1, 0), (2, 0)]
