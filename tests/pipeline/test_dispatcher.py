import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from events import ChannelTranscribed, DeliveryParked, Envelope, Event, RecordingSplit
from infra.local.dispatcher import dispatch
from infra.local.routes import DispatchSettings, SweepSettings
from shared.bus import Bus
from shared.ports import utc_now
from tests.servers import DIE, NatsServer, ScriptedFunction, nats_server

pytestmark = pytest.mark.anyio

DEADLINE = 15.0
QUICK = {
    "DISPATCH_BACKOFF_BASE": "0.1",
    "DISPATCH_BACKOFF_CAP": "0.2",
    "DISPATCH_OUTAGE_CAP": "0.2",
    "DISPATCH_MAX_ATTEMPTS": "3",
    "DISPATCH_GRACE": "2",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as running:
        yield running


class Stack:
    """A broker, a dispatcher in this process, and a client that publishes and looks on."""

    def __init__(self, bus: Bus, logs: list[MutableMapping[str, Any]]) -> None:
        self.bus = bus
        self.logs = logs

    async def publish(self, event: Event) -> None:
        envelope = Envelope(data=event, source="/pocwhisp/test", time=utc_now(), traceparent=TRACE)
        await self.bus.publish(envelope)

    async def parked(self) -> dict[str, Any]:
        """The parked delivery, as soon as the stream has one."""
        await until(lambda: self.said("parked"))
        jetstream = self.bus.client.jetstream()
        subject = f"{DeliveryParked.type}.default.*"
        found = await jetstream.get_msg("POCWHISP", 0, subject=subject, next=True)
        parked: dict[str, Any] = json.loads(found.data or b"")
        return parked

    async def settled(self, consumer: str = "merge--channel-transcribed-v1") -> None:
        """Wait until the consumer has nothing left to deliver and nothing unacknowledged."""
        jetstream = self.bus.client.jetstream()
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            known = await jetstream.consumer_info("POCWHISP", consumer)
            if not known.num_pending and not known.num_ack_pending:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{consumer} is not settled: {known}")

    def said(self, word: str) -> list[MutableMapping[str, Any]]:
        return [line for line in self.logs if line["event"] == word]


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def heard(channel: str = "left", duration: float = 12.5) -> ChannelTranscribed:
    recording = uuid4()
    return ChannelTranscribed.model_validate(
        {
            "tenant": "default",
            "recording": recording,
            "run": 2,
            "channel": channel,
            "channels": ("left", "right"),
            "duration": duration,
            "transcript": f"default/{recording}/2/{channel}.json",
        }
    )


def routed(url: str, **changes: object) -> dict[str, object]:
    return {"function": "merge", "type": ChannelTranscribed.type, "url": url, **changes}


async def until(condition: Callable[[], object], deadline: float = DEADLINE) -> None:
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("The condition did not come true in time.")
        await asyncio.sleep(0.01)


@asynccontextmanager
async def dispatching(
    server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
    *routes: dict[str, object],
    **environment: str,
) -> AsyncIterator[Stack]:
    for name, text in {**QUICK, "DISPATCH_ROUTES": json.dumps(routes), **environment}.items():
        monkeypatch.setenv(name, text)
    async with AsyncExitStack() as stack:
        logs = stack.enter_context(capture_logs())
        work = asyncio.create_task(dispatch(DispatchSettings(), SweepSettings(), server.url))
        stack.push_async_callback(stopped, work)
        await until(lambda: work.done() or any(line["event"] == "ready" for line in logs))
        yield Stack(await stack.enter_async_context(Bus.connect(server.url)), logs)


async def stopped(work: asyncio.Task[None]) -> None:
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_an_event_is_delivered_once_in_binary_mode_and_acknowledged(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = heard()
    async with (
        ScriptedFunction() as merge,
        dispatching(server, monkeypatch, routed(merge.url)) as stack,
    ):
        await stack.publish(event)
        await until(lambda: merge.received)
        await stack.settled()
    [posted] = merge.received
    assert json.loads(posted.body) == event.model_dump(mode="json")
    assert UUID(posted.headers.pop("ce-id")) == UUID(event.event_id)
    assert posted.headers.pop("ce-time").startswith("20")
    assert {
        name: text
        for name, text in posted.headers.items()
        if name.startswith("ce-") or name in ("content-type", "prefer")
    } == {
        "content-type": "application/json",
        "prefer": "reply",
        "ce-specversion": "1.0",
        "ce-type": ChannelTranscribed.type,
        "ce-source": "/pocwhisp/test",
        "ce-subject": str(event.recording),
        "ce-dataschema": f"urn:pocwhisp:schema:{ChannelTranscribed.type}",
        "ce-tenant": "default",
        "ce-correlationid": f"{event.recording}/2",
        "ce-traceparent": TRACE,
    }


async def test_the_stream_and_the_consumer_are_made_as_agreed(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dispatching(
        server, monkeypatch, routed("http://127.0.0.1:1/", in_flight=8)
    ) as stack:
        jetstream = stack.bus.client.jetstream()
        stream = (await jetstream.stream_info("POCWHISP")).config
        consumers = await jetstream.consumers_info("POCWHISP")
    assert (stream.subjects, stream.retention, stream.storage) == (
        ["io.pocwhisp.>"],
        "limits",
        "file",
    )
    assert (stream.max_age, stream.duplicate_window) == (7 * 24 * 3600, 120)
    [consumer] = [info.config for info in consumers]
    assert consumer.durable_name == "merge--channel-transcribed-v1"
    assert consumer.filter_subject == "io.pocwhisp.channel.transcribed.v1.>"
    assert (consumer.ack_wait, consumer.max_deliver, consumer.max_ack_pending) == (30, -1, 8 + 16)


async def test_a_failed_delivery_comes_again_until_it_succeeds(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ScriptedFunction(500, 500, 204) as merge,
        dispatching(server, monkeypatch, routed(merge.url)) as stack,
    ):
        await stack.publish(heard())
        await until(lambda: len(merge.received) == 3)
        await stack.settled()
        assert [line["attempts"] for line in stack.said("retried")] == [1, 2]
        assert not stack.said("parked")
    assert len(merge.received) == 3


async def test_the_last_attempt_parks_the_event_with_what_the_function_said(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = heard()
    answer = (500, b'{"error": "transient", "message": "not for the event"}')
    async with (
        ScriptedFunction(default=answer) as merge,
        dispatching(server, monkeypatch, routed(merge.url)) as stack,
    ):
        await stack.publish(event)
        parked = await stack.parked()
        await stack.settled()
    assert len(merge.received) == 3
    expected = DeliveryParked(
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
    assert parked["data"] == expected.model_dump(mode="json")
    assert parked["id"] == expected.event_id
    assert parked["source"] == "/pocwhisp/dispatcher"
    assert parked["causationid"] == event.event_id
    assert parked["correlationid"] == f"{event.recording}/2"
    assert parked["traceparent"].split("-")[1] == TRACE.split("-")[1]


async def test_a_refused_event_is_parked_at_once_as_a_defect(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ScriptedFunction(404) as merge,
        dispatching(server, monkeypatch, routed(merge.url)) as stack,
    ):
        await stack.publish(heard())
        parked = await stack.parked()
        await stack.settled()
        [line] = stack.said("parked")
    assert len(merge.received) == 1
    assert "defect" in line
    assert (parked["data"]["error_class"], parked["data"]["error_code"]) == (
        "permanent",
        "http_404",
    )


async def test_an_outage_behind_the_function_neither_counts_nor_parks(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = [503] * 6
    async with (
        ScriptedFunction(500, *away, 500, 204) as merge,
        dispatching(server, monkeypatch, routed(merge.url)) as stack,
    ):
        await stack.publish(heard())
        await until(lambda: len(merge.received) == 9)
        await stack.settled()
        assert not stack.said("parked")
        assert stack.said("retried")[-1]["attempts"] == 2


async def test_a_function_that_is_not_up_gets_its_events_when_it_is(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = ScriptedFunction()
    async with dispatching(server, monkeypatch, routed(merge.url)) as stack:
        await stack.publish(heard())
        await until(lambda: len(stack.said("retried")) > 4)
        assert {line["reason"] for line in stack.said("retried")} == {"function_not_up"}
        async with merge:
            await stack.settled()
        assert not stack.said("parked")
    assert len(merge.received) == 1


async def test_a_function_killed_with_the_event_in_hand_gets_it_again(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ScriptedFunction(DIE, 204) as merge,
        dispatching(server, monkeypatch, routed(merge.url)) as stack,
    ):
        await stack.publish(heard())
        await until(lambda: len(merge.received) == 2)
        await stack.settled()
        [line] = stack.said("retried")
    assert (line["reason"], line["attempts"]) == ("function_died", 1)


async def test_long_work_is_not_delivered_twice_while_the_function_is_alive(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def long_work() -> int:
        await asyncio.sleep(3)
        return 204

    async with (
        ScriptedFunction(long_work) as merge,
        dispatching(server, monkeypatch, routed(merge.url), DISPATCH_ACK_WAIT="1") as stack,
    ):
        await stack.publish(heard())
        await until(lambda: merge.received)
        await stack.settled()
        assert not stack.said("retried")
    assert len(merge.received) == 1


async def test_a_function_that_hangs_without_a_sign_of_life_is_given_up(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ScriptedFunction(asyncio.Event().wait, 204) as merge,
        dispatching(server, monkeypatch, routed(merge.url), DISPATCH_ACK_WAIT="1") as stack,
    ):
        merge.alive.clear()
        await stack.publish(heard())
        await until(lambda: len(merge.received) == 2)
        await stack.settled()
        [line] = stack.said("retried")
    assert (line["reason"], line["attempts"]) == ("function_died", 1)


async def test_work_beyond_its_cap_is_given_up_although_the_function_is_alive(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"DISPATCH_ACK_WAIT": "1", "DISPATCH_WORK_FLOOR": "0.1", "DISPATCH_WORK_FACTOR": "10"}
    async with (
        ScriptedFunction(asyncio.Event().wait, 204) as merge,
        dispatching(server, monkeypatch, routed(merge.url), **quick) as stack,
    ):
        await stack.publish(heard(duration=0.15))
        await until(lambda: len(merge.received) == 2)
        [line] = stack.said("retried")
    first, second = merge.received
    assert line["reason"] == "function_timeout"
    assert second.at - first.at > 1.5


async def test_no_more_than_the_routes_number_is_in_flight_and_others_are_not_held_up(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 204

    async with (
        ScriptedFunction(default=slow) as merge,
        ScriptedFunction() as quick,
        dispatching(
            server,
            monkeypatch,
            routed(merge.url, in_flight=3),
            routed(quick.url, function="quick", in_flight=1),
        ) as stack,
    ):
        for _ in range(9):
            await stack.publish(heard())
        await until(lambda: len(quick.received) == 9)
        await until(lambda: len(merge.received) == 3)
        gate.set()
        await until(lambda: len(merge.received) == 9)
        await stack.settled()
    assert merge.most_at_once == 3
    assert quick.most_at_once == 1


async def test_two_deployments_of_one_type_both_get_the_event(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = RecordingSplit(
        tenant="default",
        recording=uuid4(),
        run=1,
        channels=("left", "right"),
        duration=3,
        levels="levels.json",
    )
    async with ScriptedFunction() as left, ScriptedFunction() as right:
        routes = (
            routed(left.url, function="transcribe-left", type=RecordingSplit.type),
            routed(right.url, function="transcribe-right", type=RecordingSplit.type),
        )
        async with dispatching(server, monkeypatch, *routes) as stack:
            await stack.publish(split)
            await until(lambda: left.received and right.received)
            await stack.settled("transcribe-left--recording-split-v1")
            await stack.settled("transcribe-right--recording-split-v1")
    assert [len(left.received), len(right.received)] == [1, 1]


async def test_a_restarted_broker_gets_its_ack_and_deliveries_go_on(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 204

    async with (
        ScriptedFunction(slow) as merge,
        dispatching(server, monkeypatch, routed(merge.url, in_flight=2)) as stack,
    ):
        await stack.publish(heard())
        await until(lambda: merge.received)
        server.stop()
        gate.set()
        await until(lambda: not stack.bus.client.is_connected)
        server.start()
        await until(lambda: stack.bus.client.is_connected)
        await stack.publish(heard())
        await until(lambda: len(merge.received) == 2)
        await stack.settled()
    assert len(merge.received) == 2


async def test_a_wiped_broker_gets_stream_and_consumers_anew_and_no_stale_ack(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 204

    before, after = heard(), heard()
    async with (
        ScriptedFunction(slow, DIE, 204) as merge,
        dispatching(server, monkeypatch, routed(merge.url, in_flight=2)) as stack,
    ):
        await stack.publish(before)
        await until(lambda: merge.received)
        server.stop()
        await until(lambda: not stack.bus.client.is_connected)
        server.wipe()
        server.start()
        await until(lambda: len(stack.said("consuming")) == 2)
        await until(lambda: stack.bus.client.is_connected)
        await stack.publish(after)
        await until(lambda: len(merge.received) == 2)
        gate.set()  # its ack names sequence 1, which is another event by now
        await until(lambda: stack.said("unconfirmed"))
        await until(lambda: len(merge.received) == 3)
        await stack.settled()
    assert [posted.headers["ce-id"] for posted in merge.received] == [
        before.event_id,
        after.event_id,
        after.event_id,
    ]


async def test_a_consumer_deleted_under_the_dispatcher_is_made_again(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ScriptedFunction() as merge,
        dispatching(server, monkeypatch, routed(merge.url)) as stack,
    ):
        await stack.bus.client.jetstream().delete_stream("POCWHISP")
        await until(lambda: len(stack.said("consuming")) == 2)
        await stack.publish(heard())
        await until(lambda: merge.received)


@pytest.mark.parametrize(
    "payload",
    [b"no json", b"[]", b"{}", b'{"specversion": "1.0"}', b"\xff\xfe", b"[" * 100_000],
    ids=["text", "array", "empty", "bare", "bytes", "deep"],
)
async def test_what_is_no_event_is_logged_and_never_comes_again(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch, payload: bytes
) -> None:
    async with (
        ScriptedFunction() as merge,
        dispatching(server, monkeypatch, routed(merge.url)) as stack,
    ):
        await stack.bus.client.jetstream().publish(f"{ChannelTranscribed.type}.a.b", payload)
        await stack.publish(heard())
        await until(lambda: merge.received)
        await stack.settled()
        [line] = stack.said("defect")
    assert line["sequence"] == 1
    assert len(merge.received) == 1


async def test_an_event_that_names_no_recording_is_dropped_rather_than_parked(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless = {"specversion": "1.0", "id": "1", "type": ChannelTranscribed.type, "source": "/x"}
    async with (
        ScriptedFunction(default=500) as merge,
        dispatching(server, monkeypatch, routed(merge.url)) as stack,
    ):
        subject = f"{ChannelTranscribed.type}.a.b"
        await stack.bus.client.jetstream().publish(subject, json.dumps(nameless).encode())
        await until(lambda: stack.said("defect"))
        await stack.settled()
    assert len(merge.received) == 3


async def test_a_parked_delivery_is_never_parked_but_tried_on(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked = DeliveryParked(
        tenant="default",
        recording=uuid4(),
        run=1,
        function="merge",
        original_id="1",
        original_type=ChannelTranscribed.type,
        error_class="permanent",
        error_code="invalid_audio",
    )
    async with (
        ScriptedFunction(500, 404, 500, 500, 500, 204) as persist,
        dispatching(
            server, monkeypatch, routed(persist.url, function="persist", type=DeliveryParked.type)
        ) as stack,
    ):
        await stack.publish(parked)
        await until(lambda: len(persist.received) == 6)
        await stack.settled("persist--delivery-parked-v1")
        assert not stack.said("parked")
        stream = await stack.bus.client.jetstream().stream_info("POCWHISP")
    assert stream.state.messages == 1


async def test_what_persist_cannot_write_is_no_failed_call(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ScriptedFunction(500, 500, 500, 500, 204) as persist,
        dispatching(server, monkeypatch, routed(persist.url, function="persist")) as stack,
    ):
        await stack.publish(heard())
        await until(lambda: len(persist.received) == 5)
        await stack.settled("persist--channel-transcribed-v1")
        assert not stack.said("parked")


async def test_the_sweep_is_ticked_and_its_trouble_logged_once(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedFunction(204, 500, 500, 204) as sweep:
        settings = {"SWEEP_URL": sweep.url, "SWEEP_INTERVAL": "0.05"}
        async with dispatching(server, monkeypatch, **settings) as stack:
            await until(lambda: len(sweep.received) > 4)
            assert len(stack.said("sweep_failed")) == 1
            assert len(stack.said("sweep_recovered")) == 1
    posted = sweep.received[0]
    assert posted.headers["ce-type"] == "dev.knative.sources.ping"
    assert posted.body == b""
    assert posted.headers["ce-id"] != sweep.received[1].headers["ce-id"]


async def test_a_stopped_dispatcher_lets_work_finish_and_exits_with_zero(
    server: NatsServer, tmp_path: Path
) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 204

    async with ScriptedFunction(slow) as merge, Bus.connect(server.url) as bus:
        log = tmp_path / "dispatcher.log"
        with log.open("wb") as output:
            process = start_dispatcher(server, routed(merge.url), output)
        try:
            await until(lambda: '"event": "ready"' in log.read_text())
            stack = Stack(bus, [])
            await stack.publish(heard())
            await until(lambda: merge.received)
            process.send_signal(signal.SIGTERM)
            await stack.publish(heard())
            gate.set()
            await until(lambda: process.poll() is not None)
            consumer = "merge--channel-transcribed-v1"
            known = await bus.client.jetstream().consumer_info("POCWHISP", consumer)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0
    assert len(merge.received) == 1
    assert known.ack_floor is not None
    assert known.ack_floor.stream_seq == 1
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()][-1] == "stopped"


def start_dispatcher(
    server: NatsServer, route: dict[str, object], output: BinaryIO
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        **QUICK,
        "NATS_URL": server.url,
        "DISPATCH_ROUTES": json.dumps([route]),
    }
    arguments = [sys.executable, "-m", "infra.local.dispatcher"]
    return subprocess.Popen(arguments, env=environment, stdout=output, stderr=output)


async def test_a_dispatcher_waits_for_a_broker_that_starts_later(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stop()
    monkeypatch.setenv("DISPATCH_ROUTES", json.dumps([routed("http://127.0.0.1:1/")]))
    with capture_logs() as logs:
        work = asyncio.create_task(dispatch(DispatchSettings(), SweepSettings(), server.url))
        await until(lambda: any(line["event"] == "broker_away" for line in logs))
        server.start()
        await until(lambda: any(line["event"] == "ready" for line in logs))
        await stopped(work)


async def test_another_stream_that_holds_the_events_is_used_as_it_is(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    await client.connect(server.url)
    await client.jetstream().add_stream(name="THEIRS", subjects=[f"{ChannelTranscribed.type}.>"])
    async with (
        ScriptedFunction() as merge,
        dispatching(server, monkeypatch, routed(merge.url)) as stack,
    ):
        await stack.publish(heard())
        await until(lambda: merge.received)
        streams = [stream.config.name for stream in await client.jetstream().streams_info()]
    await client.close()
    assert streams == ["THEIRS"]
