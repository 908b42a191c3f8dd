"""What the dispatcher does when broker, functions or it itself come and go."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import BinaryIO

import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from events import ChannelTranscribed
from infra.dispatcher import session
from infra.dispatcher.broker import BrokerConnection
from infra.dispatcher.session import dispatch
from infra.dispatcher.settings import DispatchSettings, SweepSettings
from infra.local.supervisor.process import has_status, probe_succeeds
from shared.bus import Bus
from shared.errors import Unavailable
from tests.support.dispatching import (
    QUICK,
    dispatching,
    no_pull_waits,
    publish,
    route_to,
    stopped,
    transcribed,
)
from tests.support.processes import within
from tests.support.servers import DIE, NatsServer, ScriptedFunction, free_port, nats_server
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
START = 60.0
"""Seconds that a process may take to start or to end on a busy machine."""


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
            await until(lambda: '"event": "ready"' in log.read_text(), START)
            await publish(bus, transcribed())
            await until(lambda: merge.received)
            process.send_signal(signal.SIGTERM)
            await publish(bus, transcribed())
            gate.set()
            await until(lambda: process.poll() is not None, START)
            consumer = "merge--channel-transcribed-v1"
            info = await bus.client.jetstream().consumer_info("POCWHISP", consumer)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0
    assert len(merge.received) == 1
    assert info.ack_floor is not None
    assert info.ack_floor.stream_seq == 1
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()][-1] == "stopped"


def start_dispatcher(
    server: NatsServer, route: dict[str, object], output: BinaryIO, **settings: str
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        **QUICK,
        **settings,
        "NATS_URL": server.url,
        "DISPATCH_ROUTES": json.dumps([route]),
    }
    arguments = [sys.executable, "-m", "infra.dispatcher"]
    return subprocess.Popen(arguments, env=environment, stdout=output, stderr=output)


async def test_no_second_signal_cuts_the_drain_off(server: NatsServer, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 204

    async with ScriptedFunction(slow) as merge, Bus.connect(server.url) as bus:
        log = tmp_path / "dispatcher.log"
        with log.open("wb") as output:
            process = start_dispatcher(server, route_to(merge.url, in_flight=2), output)
        try:
            await until(lambda: '"event": "ready"' in log.read_text(), START)
            await publish(bus, transcribed())
            await until(lambda: merge.received)
            process.send_signal(signal.SIGTERM)
            await no_pull_waits(bus)
            process.send_signal(signal.SIGTERM)
            gate.set()
            await until(lambda: process.poll() is not None, START)
            consumer = "merge--channel-transcribed-v1"
            info = await bus.client.jetstream().consumer_info("POCWHISP", consumer)
        finally:
            process.kill()
            process.wait()
    assert info.ack_floor is not None
    assert info.ack_floor.stream_seq == 1


async def test_what_a_killed_dispatcher_worked_on_comes_again_after_the_ack_wait(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with ScriptedFunction(asyncio.Event().wait, 204) as merge, Bus.connect(server.url) as bus:
        log = tmp_path / "dispatcher.log"
        with log.open("wb") as output:
            process = start_dispatcher(server, route_to(merge.url), output, DISPATCH_ACK_WAIT="1")
        try:
            await until(lambda: '"event": "ready"' in log.read_text(), START)
            await publish(bus, transcribed())
            await until(lambda: merge.received)
        finally:
            process.kill()
            process.wait()
        async with dispatching(
            server, monkeypatch, route_to(merge.url), DISPATCH_ACK_WAIT="1"
        ) as stack:
            await until(lambda: len(merge.received) == 2)
            await stack.settled()
    assert len(merge.received) == 2


async def test_what_the_grace_cut_off_comes_again_without_the_ack_wait(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = asyncio.Event()
    async with ScriptedFunction(endless.wait, 204) as merge:
        async with dispatching(
            server, monkeypatch, route_to(merge.url), DISPATCH_GRACE="0", DISPATCH_ACK_WAIT="600"
        ) as stack:
            await stack.publish(transcribed())
            await until(lambda: merge.received)
        async with dispatching(server, monkeypatch, route_to(merge.url)) as stack:
            await until(lambda: len(merge.received) == 2)
            await stack.settled()


async def test_what_comes_while_a_dispatcher_stops_is_left_to_the_next_one(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, late = asyncio.Event(), transcribed()

    async def slow() -> int:
        await gate.wait()
        return 204

    route = route_to("", in_flight=2)
    async with ScriptedFunction(slow) as merge, Bus.connect(server.url) as bus:
        route["url"] = merge.url
        async with dispatching(server, monkeypatch, route, DISPATCH_ACK_WAIT="600") as stack:
            await stack.publish(transcribed())
            await until(lambda: merge.received)
            stack.work.cancel()
            stopping = asyncio.ensure_future(asyncio.wait({stack.work}))
            await stack.no_pull_waits()
            await publish(bus, late)
            gate.set()
            await stopping
        async with dispatching(server, monkeypatch, route) as stack:
            await until(lambda: len(merge.received) == 2)
            await stack.settled()
    assert merge.received[1].headers["ce-id"] == late.event_id


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


async def test_a_connection_closed_for_good_before_its_consumers_exist_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As nats-py closes one whose user expired: it does not connect again by itself."""
    brokers: list[BrokerConnection] = []
    initialise = BrokerConnection.__init__

    def remember(broker: BrokerConnection) -> None:
        initialise(broker)
        brokers.append(broker)

    monkeypatch.setattr(BrokerConnection, "__init__", remember)
    monkeypatch.setattr(session, "NEW_CONNECTION_DELAY", 0.01)
    monkeypatch.setenv("DISPATCH_ROUTES", json.dumps([route_to("http://127.0.0.1:1/")]))
    with nats_server(tmp_path, jetstream=False) as without, capture_logs() as logs:
        work = asyncio.create_task(dispatch(DispatchSettings(), SweepSettings(), without.url))
        await until(lambda: any(line["event"] == "consumer_away" for line in logs))
        await brokers[0].client.close()
        await until(lambda: len(brokers) == 2 and brokers[1].client.is_connected)
        assert [line["event"] for line in logs].count("broker_closed") == 1
        await stopped(work)


async def test_the_brokers_password_is_never_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCH_ROUTES", json.dumps([route_to("http://127.0.0.1:1/")]))
    url = "nats://pocwhisp:12secret@[::1"
    with pytest.raises(Unavailable, match="NATS_URL is no address of a NATS server") as refused:
        await dispatch(DispatchSettings(), SweepSettings(), url)
    assert "12secret" not in "".join(traceback.format_exception(refused.value))
    with capture_logs() as logs:
        url = "nats://pocwhisp:12secret@localhost.12secret.invalid:4222"
        work = asyncio.create_task(dispatch(DispatchSettings(), SweepSettings(), url))
        await until(lambda: any(line["event"] == "broker_away" for line in logs))
        await stopped(work)
    assert "12secret" not in str(logs)


async def test_the_dispatcher_answers_at_alive_even_without_a_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    monkeypatch.setenv("DISPATCH_ALIVE_PORT", str(port))
    work = asyncio.create_task(dispatch(DispatchSettings(), SweepSettings(), "nats://127.0.0.1:1"))
    liveness = f"http://127.0.0.1:{port}/alive"
    await within(10, lambda: probe_succeeds(lambda: has_status(liveness)))
    await stopped(work)
    assert not await probe_succeeds(lambda: has_status(liveness))
