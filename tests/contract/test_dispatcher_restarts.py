"""What the dispatcher does when broker, functions or it itself come and go."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from events import ChannelTranscribed, DeliveryParked
from infra.dispatcher.session import dispatch
from infra.dispatcher.settings import DispatchSettings, SweepSettings
from shared.bus import Bus
from tests.support.dispatching import (
    QUICK,
    Stack,
    dispatching,
    route_to,
    stopped,
    transcribed,
    until,
)
from tests.support.servers import DIE, NatsServer, ScriptedFunction

pytestmark = pytest.mark.anyio


async def test_a_restarted_broker_gets_its_ack_and_deliveries_go_on(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 204

    async with (
        ScriptedFunction(slow) as merge,
        dispatching(server, monkeypatch, route_to(merge.url, in_flight=2)) as stack,
    ):
        await stack.publish(transcribed())
        await until(lambda: merge.received)
        server.stop()
        gate.set()
        await until(lambda: not stack.bus.client.is_connected)
        server.start()
        await until(lambda: stack.bus.client.is_connected)
        await stack.publish(transcribed())
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

    before, after = transcribed(), transcribed()
    async with (
        ScriptedFunction(slow, DIE, 204) as merge,
        dispatching(server, monkeypatch, route_to(merge.url, in_flight=2)) as stack,
    ):
        await stack.publish(before)
        await until(lambda: merge.received)
        server.stop()
        await until(lambda: not stack.bus.client.is_connected)
        server.wipe()
        server.start()
        await until(lambda: len(stack.logged("consuming")) == 2)
        await until(lambda: stack.bus.client.is_connected)
        await stack.publish(after)
        await until(lambda: len(merge.received) == 2)
        gate.set()  # its ack names sequence 1, which is another event by now
        await until(lambda: stack.logged("unconfirmed"))
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
        dispatching(server, monkeypatch, route_to(merge.url)) as stack,
    ):
        await stack.bus.client.jetstream().delete_stream("POCWHISP")
        await until(lambda: len(stack.logged("consuming")) == 2)
        await stack.publish(transcribed())
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
        dispatching(server, monkeypatch, route_to(merge.url)) as stack,
    ):
        await stack.bus.client.jetstream().publish(f"{ChannelTranscribed.type}.a.b", payload)
        await stack.publish(transcribed())
        await until(lambda: merge.received)
        await stack.settled()
        [line] = stack.logged("defect")
    assert line["sequence"] == 1
    assert len(merge.received) == 1


async def test_an_event_that_names_no_recording_is_dropped_rather_than_parked(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless = {"specversion": "1.0", "id": "1", "type": ChannelTranscribed.type, "source": "/x"}
    async with (
        ScriptedFunction(default=500) as merge,
        dispatching(server, monkeypatch, route_to(merge.url)) as stack,
    ):
        subject = f"{ChannelTranscribed.type}.a.b"
        await stack.bus.client.jetstream().publish(subject, json.dumps(nameless).encode())
        await until(lambda: stack.logged("defect"))
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
            server, monkeypatch, route_to(persist.url, function="persist", type=DeliveryParked.type)
        ) as stack,
    ):
        await stack.publish(parked)
        await until(lambda: len(persist.received) == 6)
        await stack.settled("persist--delivery-parked-v1")
        assert not stack.logged("parked")
        stream = await stack.bus.client.jetstream().stream_info("POCWHISP")
    assert stream.state.messages == 1


async def test_what_persist_cannot_write_is_no_failed_call(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ScriptedFunction(500, 500, 500, 500, 204) as persist,
        dispatching(server, monkeypatch, route_to(persist.url, function="persist")) as stack,
    ):
        await stack.publish(transcribed())
        await until(lambda: len(persist.received) == 5)
        await stack.settled("persist--channel-transcribed-v1")
        assert not stack.logged("parked")


async def test_the_sweep_is_ticked_and_its_trouble_logged_once(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedFunction(204, 500, 500, 204) as sweep:
        settings = {"SWEEP_URL": sweep.url, "SWEEP_INTERVAL": "0.05"}
        async with dispatching(server, monkeypatch, **settings) as stack:
            await until(lambda: len(sweep.received) > 4)
            assert len(stack.logged("sweep_failed")) == 1
            assert len(stack.logged("sweep_recovered")) == 1
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
            process = start_dispatcher(server, route_to(merge.url), output)
        try:
            await until(lambda: '"event": "ready"' in log.read_text())
            stack = Stack(bus, [])
            await stack.publish(transcribed())
            await until(lambda: merge.received)
            process.send_signal(signal.SIGTERM)
            await stack.publish(transcribed())
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
    arguments = [sys.executable, "-m", "infra.dispatcher"]
    return subprocess.Popen(arguments, env=environment, stdout=output, stderr=output)


async def test_a_dispatcher_waits_for_a_broker_that_starts_later(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stop()
    monkeypatch.setenv("DISPATCH_ROUTES", json.dumps([route_to("http://127.0.0.1:1/")]))
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
        dispatching(server, monkeypatch, route_to(merge.url)) as stack,
    ):
        await stack.publish(transcribed())
        await until(lambda: merge.received)
        streams = [stream.config.name for stream in await client.jetstream().streams_info()]
    await client.close()
    assert streams == ["THEIRS"]
