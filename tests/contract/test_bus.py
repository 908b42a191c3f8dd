"""What the bus promises, on a real nats-server."""

import asyncio
import os
import re
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nats.errors import ConnectionClosedError
from nats.js.api import StreamConfig
from structlog.testing import capture_logs
from structlog.typing import EventDict

from events import Envelope, Event
from shared import bus as bus_module
from shared.bus import Bus, OutageLog
from shared.errors import Unavailable
from tests.support.examples import received
from tests.support.processes import within
from tests.support.servers import NatsServer, last_event, nats_server
from tests.support.waiting import until

ENVELOPE: Envelope[Event] = Envelope(
    received(), "/pocwhisp/test", datetime(2026, 7, 1, 12, tzinfo=UTC)
)
SMALL_DISK = "size=16m"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs root and the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", "-l", folder], check=True)


def on(server: NatsServer, work: Callable[[Bus], Awaitable[None]], *, stream: bool = True) -> None:
    async def scenario() -> None:
        async with Bus.connect(server.url) as bus:
            if stream:
                await keep_events(bus)
            await work(bus)

    asyncio.run(scenario())


async def keep_events(bus: Bus) -> None:
    await bus.stream_context.add_stream(StreamConfig(name="EVENTS", subjects=["io.pocwhisp.>"]))


async def healthy(bus: Bus) -> bool:
    try:
        await bus.check()
    except Unavailable:
        return False
    return True


async def refuses(bus: Bus) -> bool:
    """Whether it refuses one more event; a full disk takes a few that it had allocated for."""
    number = bus.client.stats["out_msgs"]  # a new one each time, so that it is no duplicate
    try:
        await bus.publish(replace(ENVELOPE, redrive=number))
    except Unavailable:
        return True
    return False


def test_a_broker_that_keeps_events_is_healthy(server: NatsServer) -> None:
    async def work(bus: Bus) -> None:
        await bus.check()
        await bus.publish(ENVELOPE)
        await bus.check()

    on(server, work)


def test_a_broker_without_jetstream_is_not_healthy(tmp_path: Path) -> None:
    with nats_server(tmp_path, jetstream=False) as server:

        async def work(bus: Bus) -> None:
            with pytest.raises(Unavailable):
                await bus.check()

        on(server, work, stream=False)


def test_after_a_refused_event_the_broker_is_unhealthy_until_it_keeps_it(
    server: NatsServer,
) -> None:
    async def work(bus: Bus) -> None:
        with pytest.raises(Unavailable):
            await bus.publish(ENVELOPE)  # no stream holds its subject
        for _ in range(2):
            assert not await healthy(bus)
        await keep_events(bus)
        assert await healthy(bus)
        event = await last_event(bus, received().subject)
        assert event is not None
        assert event["id"] == ENVELOPE.id

    on(server, work, stream=False)


def test_a_broker_whose_disk_is_full_is_unhealthy_and_well_again_after_a_restart(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "PUBLISH_TIMEOUT", 0.5)
    monkeypatch.setattr(bus_module, "BROKER_CHECK_TIMEOUT", 0.2)

    async def work(bus: Bus) -> None:
        await bus.publish(ENVELOPE)
        fill(small_disk / "ballast")
        await within(30, lambda: refuses(bus))
        assert not await healthy(bus)
        (small_disk / "ballast").unlink()
        assert not await healthy(bus), "nats-server keeps the error of its stream"
        await asyncio.to_thread(on_disk.stop)
        await asyncio.to_thread(on_disk.start)
        await within(30, lambda: healthy(bus))

    with nats_server(small_disk) as on_disk:
        on(on_disk, work)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as ballast:
        try:
            while ballast.write(b"\0" * 4096):
                pass
        except OSError:
            return


@pytest.mark.parametrize("end", ["earlier", "later"])
def test_an_event_that_is_not_acknowledged_is_remembered_unless_a_later_one_of_its_type_is(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    async def work(bus: Bus) -> None:
        answers: list[asyncio.Future[None]] = []

        async def publish(*_: object, **__: object) -> None:
            answers.append(asyncio.get_running_loop().create_future())
            await answers[-1]

        monkeypatch.setattr(bus.stream_context, "publish", publish)
        publishing = [asyncio.create_task(bus.publish(ENVELOPE)) for _ in range(2)]
        await until(lambda: len(answers) == 2)
        acknowledged, refused = answers if end == "earlier" else reversed(answers)
        refused.set_exception(TimeoutError())
        await until(lambda: any(task.done() for task in publishing))
        acknowledged.set_result(None)
        await asyncio.wait(publishing)
        check = asyncio.create_task(bus.check())
        if end == "earlier":
            await until(lambda: len(answers) == 3)
            answers[-1].set_result(None)
        await check
        assert len(answers) == (3 if end == "earlier" else 2)

    on(server, work)


def test_a_check_does_not_send_an_event_that_is_under_way(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(bus: Bus) -> None:
        await bus.publish(ENVELOPE)
        sent: list[object] = []

        async def publish(*given: object, **_: object) -> None:
            sent.append(given)
            await asyncio.Event().wait()

        monkeypatch.setattr(bus.stream_context, "publish", publish)
        publishing = asyncio.create_task(bus.publish(ENVELOPE))
        await until(lambda: sent)
        await bus.check()
        assert len(sent) == 1
        publishing.cancel()
        await asyncio.wait({publishing})
        await bus.check()
        assert len(sent) == 1, "one that was cancelled is nobody's any more"

    on(server, work)


def test_a_broker_that_closes_the_connection_for_good_is_connected_to_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bus_module, "RECONNECT_WAIT", 0.02)
    ends = asyncio.Event()
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.write(b'INFO {"server_id": "x", "version": "2", "max_payload": 1048576}\r\n')
        async for line in reader:
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
                if len(connections) == 1:
                    await ends.wait()
                    writer.write(b"-ERR 'maximum connections exceeded'\r\n")

    async def scenario() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as broker:
            port = broker.sockets[0].getsockname()[1]
            with capture_logs() as lines:
                async with Bus.connect(f"nats://127.0.0.1:{port}") as bus:
                    first = bus.client
                    ends.set()
                    await until(lambda: bus.client is not first and bus.client.is_connected)
                    assert bus.stream_context is not None
            for connection in connections:
                connection.close()
                await connection.wait_closed()
            assert len(connections) == 2
            reasons = [line["reason"] for line in lines if line["event"] == "broker_away"]
            assert any("maximum connections exceeded" in reason for reason in reasons)
            assert bus.client.is_closed

    asyncio.run(scenario())


def test_a_refused_login_is_logged_with_its_reason_and_without_the_password(
    tmp_path: Path,
) -> None:
    users = "authorization { user: pocwhisp, password: right-one }"
    with nats_server(tmp_path, more=users) as server, capture_logs() as lines:
        url = server.url.replace("//", "//pocwhisp:wrong-one@")

        async def scenario() -> None:
            async with Bus.connect(url):

                async def logged() -> bool:
                    return bool(lines)

                await within(30, logged)

        asyncio.run(scenario())
    reasons = [line["reason"] for line in lines if line["event"] == "broker_away"]
    assert any("Authorization Violation" in reason for reason in reasons)
    assert not any("wrong-one" in str(line) for line in lines)


def test_the_same_reason_is_logged_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("shared.bus.time.monotonic", lambda: now)

    def complain(complaints: OutageLog, *errors: Exception) -> list[EventDict]:
        with capture_logs() as lines:
            for error in errors:
                asyncio.run(complaints.log(error))
        return lines

    complaints = OutageLog("nats://user:pass-word@a,nats://to-ken@b")
    first = complain(complaints, OSError("no pass-word"), OSError("no pass-word"))
    assert [line["reason"] for line in first] == ["no ***"]
    assert len(complain(complaints, OSError("to-ken"), OSError("no pass-word"))) == 2
    now += 59
    assert complain(complaints, OSError("no pass-word")) == []
    now += 1
    assert len(complain(complaints, OSError("no pass-word"))) == 1


@pytest.mark.parametrize(
    ("info", "written"),
    [
        ("user:", "nobody"),
        ("user", "nobody"),
        ("user:pa%20ss", "pa ss"),
        ("user:pa%20ss", "pa%20ss"),
    ],
)
def test_a_reason_is_readable_without_a_password_and_hides_an_encoded_one(
    info: str, written: str
) -> None:
    with capture_logs() as lines:
        asyncio.run(OutageLog(f"nats://{info}@host").log(OSError(f"no {written}")))
    assert lines[0]["reason"] == ("no nobody" if written == "nobody" else "no ***")


def test_an_address_that_cannot_be_used_is_told_without_its_password() -> None:
    async def scenario() -> None:
        async with Bus.connect("nats://user:pa/ss@host:4222"):
            pass

    with pytest.raises(Unavailable, match=re.escape("NATS_URL is no address")) as told:
        asyncio.run(scenario())
    assert told.value.__suppress_context__ or told.value.__context__ is None


@pytest.mark.parametrize("turns", range(6))
def test_a_cancellation_that_comes_with_the_acknowledgement_is_heeded(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    async def work(bus: Bus) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def publish(*_: object, **__: object) -> None:
            await asyncio.wait_for(answer, 60)

        monkeypatch.setattr(bus.stream_context, "publish", publish)
        publishing = asyncio.create_task(bus.publish(ENVELOPE))
        for _ in range(6):
            await asyncio.sleep(0)
        answer.set_result(None)
        for _ in range(turns):
            await asyncio.sleep(0)
        was_waiting = publishing.cancel()
        await asyncio.wait({publishing})
        assert publishing.cancelled() == was_waiting

    on(server, work)


def test_a_lost_connection_while_listening_starts_is_no_error(server: NatsServer) -> None:
    async def work(bus: Bus) -> None:
        async def gone(*_: object, **__: object) -> None:
            raise ConnectionClosedError

        bus.client.subscribe = gone  # type: ignore[method-assign, assignment]
        async with bus.subscribe("io.pocwhisp.x") as notice:
            assert not notice.is_set()

    on(server, work)


def test_a_connection_lost_while_listening_starts_leaves_no_subscription(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(bus: Bus) -> None:
        subscribe = bus.client.subscribe

        async def once(subject: str, **given: Any) -> object:  # noqa: ANN401 - nats-py's
            if subject.endswith("second"):
                raise ConnectionClosedError
            subscription = await subscribe(subject, **given)
            monkeypatch.setattr(subscription, "unsubscribe", unsubscribe)
            return subscription

        async def unsubscribe() -> None:
            ended.append("first")

        monkeypatch.setattr(bus.client, "subscribe", once)
        ended: list[object] = []
        async with bus.subscribe("io.pocwhisp.first", "io.pocwhisp.second") as notice:
            await bus.client.publish("io.pocwhisp.first")
            await asyncio.wait_for(notice.wait(), 5)
        assert ended == ["first"]

    on(server, work, stream=False)
