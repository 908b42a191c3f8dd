import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from structlog.typing import EventDict

from events import DeliveryParked, Envelope, Event, RecordingReceived, RecordingSplit
from shared.cloudevent import ATTEMPT_HEADER, MOST_EVENT_BYTES, IncomingEvent, receive_event
from shared.delivery import DELIVERY_SECONDS, Delivery
from shared.errors import Missing, Permanent, Transient, Unavailable
from shared.function import Function, function
from shared.runtime import Parts, Runtime
from tests.support.examples import merged, received, was_split

Handle: TypeAlias = Callable[[RecordingReceived], Awaitable[Event | Sequence[Event] | None]]
Posting: TypeAlias = Callable[[httpx.AsyncClient], Awaitable[Any]]
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
TRACE = "0af7651916cd43dd8448eb211c80319c"
LINE = {
    "function": "example",
    "type": RecordingReceived.type,
    "id": received().event_id,
    "recording": str(received().recording),
    "run": 1,
    "trace": TRACE,
}
CAUSE = Envelope(
    data=received(),
    source="/pocwhisp/ingest",
    time=NOW,
    traceparent=f"00-{TRACE}-b7ad6b7169203331-01",
)


@dataclass
class FakePublisher:
    """Keeps what was published, or is away."""

    away: bool = False
    published: list[Envelope[Event]] = field(default_factory=list)

    async def publish(self, envelope: Envelope[Event]) -> None:
        if self.away:
            raise Unavailable("The broker is away.")
        self.published.append(envelope)

    @property
    def events(self) -> list[Event]:
        return [envelope.data for envelope in self.published]


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    """What was logged, instead of a long traceback on the console."""
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        yield lines


def handing_to(handle: Handle | Function[...]) -> Function[...]:
    """A function that takes `recording.received` and does this with it, or the function itself."""
    if isinstance(handle, Function):
        return handle

    @function("example")
    async def example(event: RecordingReceived, *, port: str) -> Event | Sequence[Event] | None:
        assert port == "a port"
        return await handle(event)

    return example


def fixed(outcome: Event | Sequence[Event] | Exception | None) -> Handle:
    """A handler with always the same outcome."""

    async def handle(_: RecordingReceived) -> Event | Sequence[Event] | None:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return handle


def serve(
    handle: Handle | Function[...], publisher: FakePublisher, work: Posting, concurrency: int = 1
) -> Any:  # noqa: ANN401 - whatever the work gives
    """Do the work with a client of the function served as functions-framework serves it."""

    @asynccontextmanager
    async def compose() -> AsyncIterator[Parts]:
        yield Parts(publisher, {"port": "a port"})

    route = Delivery(handing_to(handle), concurrency=concurrency, clock=lambda: NOW)
    respond = Runtime(compose, {"/": route}).respond
    app = Starlette(routes=[Route("/{path:path}", respond, methods=["POST"])])

    async def served() -> Any:  # noqa: ANN401 - as above
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://function") as client:
            return await work(client)

    return asyncio.run(served())


def deliver(
    handle: Handle | Function[...],
    publisher: FakePublisher,
    envelope: Envelope[Event] = CAUSE,
    *,
    binary: bool = False,
) -> httpx.Response:
    headers, body = in_binary(envelope) if binary else in_structure(envelope)
    return post(handle, publisher, headers, body)


def post(
    handle: Handle | Function[...], publisher: FakePublisher, headers: dict[str, str], body: bytes
) -> httpx.Response:
    async def work(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/", content=body, headers=headers)

    response: httpx.Response = serve(handle, publisher, work)
    return response


def in_structure(envelope: Envelope[Event]) -> tuple[dict[str, str], bytes]:
    content = json.dumps(envelope.structured()).encode()
    return {"content-type": "application/cloudevents+json"}, content


def in_binary(envelope: Envelope[Event]) -> tuple[dict[str, str], bytes]:
    headers = {f"ce-{name}": text for name, text in envelope.attributes.items()}
    headers["content-type"] = headers.pop("ce-datacontenttype")
    return headers, envelope.data.model_dump_json().encode()


def from_redrive(number: int) -> Envelope[Event]:
    return Envelope(data=received(), source="/pocwhisp/persist", time=NOW, redrive=number)


@pytest.mark.parametrize("binary", [False, True])
def test_a_handler_that_asks_for_it_gets_the_events_own_time(*, binary: bool) -> None:
    times: list[datetime | None] = []

    @function("example")
    async def timed(event: RecordingReceived, *, port: str, at: datetime | None = None) -> None:
        assert (event, port) == (received(), "a port")
        times.append(at)

    assert deliver(timed, FakePublisher(), binary=binary).status_code == 204
    assert times == [NOW]


@pytest.mark.parametrize("number", [0, 2])
def test_a_handler_that_asks_for_it_gets_the_number_of_the_redrive(number: int) -> None:
    numbers: list[int] = []

    @function("example")
    async def counted(event: RecordingReceived, *, port: str, redrive: int = 0) -> None:
        assert (event, port) == (received(), "a port")
        numbers.append(redrive)

    assert deliver(counted, FakePublisher(), from_redrive(number)).status_code == 204
    assert numbers == [number]


@pytest.mark.parametrize("time", [None, "", "yesterday", "2026-07-01T12:00:00"])
def test_an_event_that_does_not_say_when_it_happened_has_no_time(time: str | None) -> None:
    assert IncomingEvent({"time": time}, None).time is None


@pytest.mark.parametrize("binary", [False, True])
def test_binary_and_structured_mode_reach_the_handler_alike(binary: bool) -> None:  # noqa: FBT001
    seen: list[Event] = []

    async def handle(event: RecordingReceived) -> None:
        seen.append(event)

    publisher = FakePublisher()
    assert deliver(handle, publisher, binary=binary).status_code == 204
    assert seen == [received()]
    assert publisher.published == []


def test_the_output_is_published_with_its_cause() -> None:
    publisher = FakePublisher()
    assert deliver(fixed(was_split()), publisher).status_code == 204
    (sent,) = publisher.published
    assert sent.data == was_split()
    assert sent.source == "/pocwhisp/example"
    assert sent.time == NOW
    assert sent.causationid == CAUSE.id
    assert sent.message_id == was_split().event_id


def test_all_outputs_are_published_in_order() -> None:
    publisher = FakePublisher()
    deliver(fixed((was_split(), merged())), publisher)
    assert publisher.events == [was_split(), merged()]


def test_the_answer_comes_after_the_broker_has_the_output() -> None:
    reached, released = asyncio.Event(), asyncio.Event()
    answered_early: list[bool] = []

    class SlowPublisher(FakePublisher):
        async def publish(self, envelope: Envelope[Event]) -> None:
            reached.set()
            await released.wait()
            await super().publish(envelope)

    publisher = SlowPublisher()

    async def work(client: httpx.AsyncClient) -> httpx.Response:
        headers, body = in_structure(CAUSE)
        answer = asyncio.ensure_future(client.post("/", content=body, headers=headers))
        await reached.wait()
        answered_early.append(answer.done())
        released.set()
        return await answer

    response: httpx.Response = serve(fixed(was_split()), publisher, work)
    assert (answered_early, response.status_code) == ([False], 204)
    assert publisher.events == [was_split()]


@pytest.mark.parametrize("binary", [False, True])
def test_the_trace_and_the_redrive_number_travel_on(binary: bool) -> None:  # noqa: FBT001
    publisher = FakePublisher()
    cause = Envelope(
        data=received(), source="/x", time=NOW, traceparent=CAUSE.traceparent, redrive=3
    )
    deliver(fixed(was_split()), publisher, cause, binary=binary)
    (sent,) = publisher.published
    assert sent.redrive == 3
    assert sent.message_id == f"{was_split().event_id}.3"
    assert sent.traceparent is not None
    assert sent.traceparent.split("-")[1] == TRACE
    assert sent.traceparent != CAUSE.traceparent


def test_an_event_without_a_trace_begins_one() -> None:
    publisher = FakePublisher()
    deliver(fixed(was_split()), publisher, from_redrive(0))
    assert publisher.published[0].traceparent is not None


@pytest.mark.parametrize(
    ("error", "code"),
    [(Permanent("invalid_audio", "Broken."), "invalid_audio"), (Missing("a/b"), "missing_blob")],
)
def test_what_no_retry_can_help_is_parked_and_answered_well(error: Permanent, code: str) -> None:
    publisher = FakePublisher()
    cause = from_redrive(2)
    assert deliver(fixed(error), publisher, cause).status_code == 204
    (sent,) = publisher.published
    assert sent.data == DeliveryParked(
        tenant="default",
        recording=received().recording,
        run=1,
        function="example",
        original_id=cause.id,
        original_type=cause.data.type,
        series=3,
        error_class="permanent",
        error_code=code,
    )
    assert (sent.redrive, sent.causationid) == (2, cause.id)


@pytest.mark.parametrize(("attempt", "attempts"), [("3", 3), ("0", 1), ("x", 1)])
def test_a_parked_delivery_tells_how_many_attempts_there_were(attempt: str, attempts: int) -> None:
    publisher = FakePublisher()
    headers, body = in_structure(CAUSE)
    error = Permanent("invalid_audio", "Broken.")
    post(fixed(error), publisher, {**headers, ATTEMPT_HEADER: attempt}, body)
    (parked,) = publisher.events
    assert isinstance(parked, DeliveryParked)
    assert parked.attempts == attempts


@pytest.mark.parametrize("redrive", ["x", -1, [1]])
def test_an_event_with_a_strange_redrive_number_is_parked_in_the_first_series(
    redrive: object,
) -> None:
    publisher = FakePublisher()
    event = {**CAUSE.structured(), "redrive": redrive}
    error = Permanent("invalid_audio", "Broken.")
    response = post(fixed(error), publisher, STRUCTURED, json.dumps(event).encode())
    (parked,) = publisher.events
    assert isinstance(parked, DeliveryParked)
    assert (response.status_code, parked.series) == (204, 1)


def test_a_longer_event_than_the_broker_takes_is_not_read_to_its_end() -> None:
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(64):
            taken += 1
            yield bytes(MOST_EVENT_BYTES // 8)

    parts = body()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(parts), "more_body": True}

    assert asyncio.run(receive_from(receive)).status_code == 500
    assert taken == 9


def test_a_client_that_hangs_up_in_the_body_is_no_crash(logged: list[EventDict]) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert asyncio.run(receive_from(receive)).status_code == 500
    assert [line["event"] for line in logged] == ["cut_off"]


async def receive_from(receive: Callable[[], Awaitable[dict[str, Any]]]) -> Response:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"content-type", b"application/cloudevents+json")],
    }
    answer = await receive_event(Request(scope, receive))
    assert isinstance(answer, Response)
    return answer


def test_a_repeated_parking_has_the_same_id() -> None:
    publisher = FakePublisher()
    for _ in range(2):
        deliver(fixed(Permanent("invalid_audio", "Broken.")), publisher)
    first, second = publisher.published
    assert first.message_id == second.message_id


def test_a_parking_in_another_series_of_attempts_has_another_id() -> None:
    publisher = FakePublisher()
    for redrive in range(2):
        deliver(fixed(Permanent("invalid_audio", "Broken.")), publisher, from_redrive(redrive))
    first, second = publisher.published
    assert first.id != second.id


def test_an_event_of_another_type_is_parked() -> None:
    publisher = FakePublisher()
    other = Envelope(data=was_split(), source="/x", time=NOW)
    assert deliver(fixed(None), publisher, other).status_code == 204
    (parked,) = publisher.events
    assert isinstance(parked, DeliveryParked)
    assert (parked.error_code, parked.original_type) == ("unexpected_type", RecordingSplit.type)


@pytest.mark.parametrize(
    "change",
    [
        {"data": {**received().model_dump(mode="json"), "duration": -1}},
        {"data": "hello"},
        {"data": None},
    ],
)
def test_an_event_that_does_not_fit_its_schema_is_parked(change: dict[str, Any]) -> None:
    publisher = FakePublisher()
    body = json.dumps({**CAUSE.structured(), **change}).encode()
    assert post(fixed(None), publisher, in_structure(CAUSE)[0], body).status_code == 204
    (parked,) = publisher.events
    assert isinstance(parked, DeliveryParked)
    assert parked.error_code == "invalid_event"


@pytest.mark.parametrize("attribute", ["tenant", "correlationid"])
def test_what_cannot_even_be_parked_is_tried_again(attribute: str) -> None:
    publisher = FakePublisher()
    event = CAUSE.structured()
    del event[attribute]
    response = post(
        fixed(Permanent("invalid_audio", "Broken.")),
        publisher,
        in_structure(CAUSE)[0],
        json.dumps(event).encode(),
    )
    assert (response.status_code, publisher.published) == (500, [])


def test_a_part_that_is_away_is_a_503_with_a_time_to_try_again() -> None:
    publisher = FakePublisher()
    response = deliver(fixed(Unavailable("The blob store is away.")), publisher)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert response.json()["error"] == "unavailable"
    assert publisher.published == []


@pytest.mark.parametrize("outcome", [was_split(), Permanent("invalid_audio", "Broken.")])
def test_a_broker_that_is_away_is_a_503(outcome: Event | Exception) -> None:
    assert deliver(fixed(outcome), FakePublisher(away=True)).status_code == 503


@pytest.mark.parametrize(
    "error", [Transient("Again."), RuntimeError("secret words"), ValueError(), TimeoutError()]
)
def test_any_other_error_is_a_500_that_keeps_its_text(error: Exception) -> None:
    publisher = FakePublisher()
    response = deliver(fixed(error), publisher)
    assert (response.status_code, publisher.published) == (500, [])
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "text/plain"}, b"hello"),
        ({"content-type": "application/json"}, b'{"specversion": []}'),
    ],
)
def test_what_is_no_cloudevent_at_all_is_a_400(headers: dict[str, str], body: bytes) -> None:
    response = post(fixed(None), FakePublisher(), headers, body)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (STRUCTURED, b""),
        (STRUCTURED, b"{"),
        (STRUCTURED, b"\xff\xfe"),
        (STRUCTURED, b"[]"),
        (STRUCTURED, b"null"),
        (STRUCTURED, b'{"specversion": "1.0"}'),
        (STRUCTURED, b'{"specversion": "9.0", "id": "1", "source": "/x", "type": "t"}'),
        (STRUCTURED, b'{"specversion": ["1.0"], "id": "1", "source": "/x", "type": "t"}'),
        (STRUCTURED, b'{"specversion":"1.0","id":"1","source":"/","type":"t","extensions":"x"}'),
        ({"ce-id": "1"}, b"{}"),
        ({"ce-specversion": "9.0", "ce-id": "1", "ce-source": "/x", "ce-type": "t"}, b"{}"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "t"}, b"\xff"),
    ],
)
def test_a_broken_cloudevent_is_kept_by_the_pusher(headers: dict[str, str], body: bytes) -> None:
    response = post(fixed(None), FakePublisher(), headers, body)
    assert response.status_code == 500


attributes = st.dictionaries(
    st.sampled_from([*CAUSE.attributes, "data", "redrive", "extensions", "data_base64"]),
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=1),
    max_size=4,
)


@given(attributes)
def test_whatever_a_pusher_sends_is_never_answered_with_a_4xx(change: dict[str, Any]) -> None:
    body = json.dumps({**CAUSE.structured(), **change}).encode()
    response = post(fixed(was_split()), FakePublisher(), STRUCTURED, body)
    assert response.status_code in {204, 500}


def test_as_many_deliveries_as_allowed_are_handled_at_the_same_time() -> None:
    running: list[int] = [0]
    most: list[int] = []
    full = asyncio.Event()

    async def handle(_: RecordingReceived) -> None:
        running[0] += 1
        most.append(running[0])
        if running[0] == 3:
            full.set()
        async with asyncio.timeout(5):
            await full.wait()
        running[0] -= 1

    async def work(client: httpx.AsyncClient) -> list[int]:
        headers, body = in_structure(CAUSE)
        posts = (client.post("/", content=body, headers=headers) for _ in range(6))
        return [response.status_code for response in await asyncio.gather(*posts)]

    assert serve(handle, FakePublisher(), work, concurrency=3) == [204] * 6
    assert max(most) == 3


def test_as_many_more_may_wait_and_any_other_is_sent_away_at_once(logged: list[EventDict]) -> None:
    gate = asyncio.Event()

    async def handle(_: RecordingReceived) -> None:
        await gate.wait()

    async def work(client: httpx.AsyncClient) -> tuple[list[httpx.Response], list[int]]:
        headers, body = in_structure(CAUSE)
        posting = {
            asyncio.ensure_future(client.post("/", content=body, headers=headers)) for _ in range(7)
        }
        refused: set[asyncio.Future[httpx.Response]] = set()
        async with asyncio.timeout(5):
            while len(refused) < 3:
                done, _ = await asyncio.wait(posting - refused, return_when="FIRST_COMPLETED")
                refused |= done
        gate.set()
        taken = await asyncio.gather(*posting - refused)
        later = await client.post("/", content=body, headers=headers)
        codes = [response.status_code for response in (*taken, later)]
        return [future.result() for future in refused], codes

    refused, codes = serve(handle, FakePublisher(), work, concurrency=2)
    assert [(answer.status_code, answer.json()["error"]) for answer in refused] == [
        (503, "unavailable")
    ] * 3
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    assert codes == [204] * 5
    words = [line["event"] for line in logged]
    assert (words.count("refused"), words.count("delivered"), len(words)) == (3, 5, 8)


@pytest.mark.parametrize(
    ("outcome", "word", "reason"),
    [
        (was_split(), "delivered", None),
        (None, "delivered", None),
        (Permanent("invalid_audio", "Broken: half."), "parked", "Broken: half."),
        (Unavailable("Away."), "retried", "Away."),
        (RuntimeError("hidden"), "retried", "RuntimeError"),
    ],
)
def test_every_delivery_is_one_line_in_the_log(
    logged: list[EventDict], outcome: Event | Exception | None, word: str, reason: str | None
) -> None:
    deliver(fixed(outcome), FakePublisher())
    (line,) = logged
    assert line["event"] == word
    assert line.get("reason") == reason
    assert line.items() >= LINE.items()
    assert "attempt" not in line
    assert line["ms"] >= 0


def test_an_unexpected_error_is_in_the_line_of_its_delivery(logged: list[EventDict]) -> None:
    error = RuntimeError("why")
    deliver(fixed(error), FakePublisher())
    (line,) = logged
    assert (line["log_level"], line["exc_info"]) == ("error", error)


def test_a_pusher_that_counts_attempts_finds_them_in_the_log(logged: list[EventDict]) -> None:
    headers, body = in_structure(CAUSE)
    post(fixed(None), FakePublisher(), {**headers, ATTEMPT_HEADER: "3"}, body)
    (line,) = logged
    assert line["attempt"] == 3


@pytest.mark.parametrize("attempt", ["", "-1", "second", "9" * 5000])
def test_an_attempt_that_is_no_number_is_left_out(logged: list[EventDict], attempt: str) -> None:
    headers, body = in_structure(CAUSE)
    post(fixed(None), FakePublisher(), {**headers, ATTEMPT_HEADER: attempt}, body)
    (line,) = logged
    assert (line["event"], "attempt" in line) == ("delivered", False)


def test_lines_of_a_handler_carry_its_delivery(logged: list[EventDict]) -> None:
    async def handle(_: RecordingReceived) -> None:
        structlog.get_logger().info("window", number=1)

    deliver(handle, FakePublisher())
    window, delivered = logged
    assert (window["event"], delivered["event"]) == ("window", "delivered")
    assert window.items() >= LINE.items()


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"function": "example", **labels}) or 0.0


def test_a_refusal_is_no_delivery() -> None:
    def counts() -> tuple[float, float, float]:
        outcomes = ("delivered", "retried", "parked")
        return (
            sum(figure("pocwhisp_deliveries_total", outcome=outcome) for outcome in outcomes),
            figure("pocwhisp_delivery_seconds_count"),
            figure("pocwhisp_refusals_total"),
        )

    gate = asyncio.Event()

    async def handle(_: RecordingReceived) -> None:
        await gate.wait()

    async def work(client: httpx.AsyncClient) -> None:
        headers, body = in_structure(CAUSE)
        posting = [
            asyncio.ensure_future(client.post("/", content=body, headers=headers)) for _ in range(5)
        ]
        await asyncio.wait(posting, return_when="FIRST_COMPLETED")
        gate.set()
        await asyncio.gather(*posting)

    before = counts()
    serve(handle, FakePublisher(), work)
    assert tuple(after - was for was, after in zip(before, counts(), strict=True)) == (2, 2, 3)


def test_times_of_deliveries_are_told_apart_from_5_ms_to_10_minutes() -> None:
    deliver(fixed(None), FakePublisher())
    (seconds,) = DELIVERY_SECONDS.collect()
    bounds = [sample.labels["le"] for sample in seconds.samples if "le" in sample.labels]
    assert (bounds[0], bounds[-2:]) == ("0.005", ["600.0", "+Inf"])
    assert not [sample for sample in seconds.samples if sample.name.endswith("_created")]


def test_what_is_away_is_named_outside_and_explained_in_the_log_alone(
    logged: list[EventDict],
) -> None:
    away = Unavailable("The blob store failed: PUT http://169.254.169.254/", part="The blob store")
    response = deliver(fixed(away), FakePublisher())
    message = "The blob store is unavailable."
    assert response.json() == {"error": "unavailable", "message": message}
    assert logged[-1]["reason"] == str(away)
