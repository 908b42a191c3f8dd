"""Listening to a real broker: one stream for all types as in the local stack, or one for each."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from nats.js.api import StreamConfig

from infra.client import event_stream, stream_reader
from infra.client.errors import ServerAway
from infra.client.event_filter import EventFilter
from infra.client.event_stream import follow_events
from shared.nats_inbox import Inbox
from tests.support.servers import NatsServer, free_port, nats_server

RECEIVED, SPLIT, COMPLETED = (
    f"io.pocwhisp.recording.{word}.v1" for word in ("received", "split", "completed")
)
STORY = (RECEIVED, SPLIT, COMPLETED)
CALL, OTHER = uuid4(), uuid4()
ONE_STREAM = {"POCWHISP": ["io.pocwhisp.>"]}
STREAM_EACH = {
    f"KN_{number}": [f"default.channel{number}._knative", f"{event_type}.>"]
    for number, event_type in enumerate(STORY)
}
DEADLINE = 20.0
PATIENCE = 5.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_reader, "READ_RETRY_DELAY", 0.05)
    pull = json.loads(stream_reader.PULL_REQUEST) | {"idle_heartbeat": 10**8}
    monkeypatch.setattr(stream_reader, "PULL_REQUEST", json.dumps(pull).encode())
    monkeypatch.setattr(stream_reader, "SILENCE_LIMIT", 0.5)
    monkeypatch.setattr(stream_reader, "FIRST_CONNECT_TIMEOUT", 1.0)


async def publish(server: NatsServer, *events: tuple[str, UUID], run: int = 1) -> None:
    async with await nats.connect(server.url) as client:
        for event_type, recording in events:
            event = {"type": event_type, "subject": str(recording), "data": {"run": run}}
            subject = f"{event_type}.default.{recording}"
            await client.jetstream().publish(subject, json.dumps(event).encode())


async def keep(server: NatsServer, streams: dict[str, list[str]]) -> None:
    async with await nats.connect(server.url) as client:
        for name, subjects in streams.items():
            await client.jetstream().add_stream(StreamConfig(name=name, subjects=subjects))


async def heard(
    events: AsyncGenerator[dict[str, Any]], count: int | None = None
) -> list[tuple[str, str]]:
    """The types and recordings of the next events, or of all to the end."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(DEADLINE):
        while count is None or len(found) < count:
            try:
                event = await anext(events)
            except StopAsyncIteration:
                break
            found.append((event["type"], event["subject"]))
    return found


def told(events: Sequence[tuple[str, UUID]]) -> list[tuple[str, str]]:
    return [(event_type, str(recording)) for event_type, recording in events]


@pytest.mark.parametrize("streams", [ONE_STREAM, STREAM_EACH])
def test_a_recordings_story_is_told_in_order_up_to_its_end(
    tmp_path: Path, streams: dict[str, list[str]]
) -> None:
    async def scenario(server: NatsServer) -> None:
        await keep(server, streams)
        await publish(server, (RECEIVED, CALL), (RECEIVED, OTHER), (SPLIT, CALL))
        async with aclosing(follow_events(server.url, EventFilter(CALL, until_end=True))) as events:
            first = await heard(events, 2)
            await publish(server, (COMPLETED, OTHER), (COMPLETED, CALL))
            rest = await heard(events)
        assert first + rest == told([(event_type, CALL) for event_type in STORY])

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


@pytest.mark.parametrize("streams", [ONE_STREAM, STREAM_EACH])
def test_everything_kept_comes_in_the_order_in_which_it_happened(
    tmp_path: Path, streams: dict[str, list[str]]
) -> None:
    calls = [uuid4() for _ in range(20)]
    sent = [(event_type, call) for call in calls for event_type in STORY]

    async def scenario(server: NatsServer) -> None:
        await keep(server, streams)
        await publish(server, *sent)
        async with aclosing(follow_events(server.url, EventFilter(from_start=True))) as events:
            assert await heard(events, len(sent)) == told(sent)

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


NO_EVENTS = (b"hello", b"", b"[1]", b"{}", b'{"type": 5}', b"\xff", b"[" * 10**5)


async def publish_odd(server: NatsServer, *contents: bytes) -> None:
    async with await nats.connect(server.url) as client:
        for content in contents:
            await client.jetstream().publish(f"{RECEIVED}.default.{CALL}", content)


def test_a_message_that_is_no_event_is_left_out_and_told(tmp_path: Path) -> None:
    printed: list[str] = []

    async def scenario(server: NatsServer) -> None:
        await keep(server, ONE_STREAM)
        await publish_odd(server, *NO_EVENTS)
        await publish(server, (RECEIVED, CALL), (COMPLETED, CALL))
        await publish_odd(server, NO_EVENTS[0])
        wanted = EventFilter(CALL, until_end=True)
        async with aclosing(follow_events(server.url, wanted, printed.append)) as events:
            assert await heard(events) == told([(RECEIVED, CALL), (COMPLETED, CALL)])

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))
    odd = f"A message on {RECEIVED}.default.{CALL} is no CloudEvent; it is left out."
    assert printed == [odd] * (len(NO_EVENTS) + 1)


@pytest.mark.parametrize("data", [None, 5, {}, {"run": "first"}])
def test_an_event_that_names_no_run_is_one_all_the_same(tmp_path: Path, data: object) -> None:
    async def scenario(server: NatsServer) -> None:
        await keep(server, ONE_STREAM)
        await publish_odd(
            server, json.dumps({"type": RECEIVED, "subject": "x", "data": data}).encode()
        )
        await publish(server, (COMPLETED, CALL))
        wanted = EventFilter(CALL, until_end=True)
        async with aclosing(follow_events(server.url, wanted)) as events:
            assert [event_type for event_type, _ in await heard(events)] == [RECEIVED, COMPLETED]

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


def test_a_recording_of_which_there_is_no_event_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "NOTICE_AFTER", 0.0)
    printed = asyncio.Queue[str]()

    async def scenario(server: NatsServer) -> None:
        await keep(server, ONE_STREAM)
        async with aclosing(
            follow_events(server.url, EventFilter(CALL), printed.put_nowait)
        ) as events:
            waiting = asyncio.create_task(heard(events, 1))
            async with asyncio.timeout(DEADLINE):
                while f"no event of {CALL} yet" not in await printed.get():
                    pass
            await publish(server, (RECEIVED, CALL))
            assert await waiting == told([(RECEIVED, CALL)])

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_message_that_is_lost_on_the_way_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    taken = 0

    class Lossy(Inbox):
        async def next(self, within: float) -> Msg:
            nonlocal taken
            message = await super().next(within)
            taken += bool(message.reply)
            if message.reply and taken == lost:
                taken += 1
                return await super().next(within)
            return message

    monkeypatch.setattr(stream_reader, "Inbox", Lossy)

    async def scenario(server: NatsServer) -> None:
        await keep(server, ONE_STREAM)
        sent = [(event_type, CALL) for event_type in STORY]
        await publish(server, *sent)
        async with aclosing(follow_events(server.url, EventFilter(from_start=True))) as events:
            assert await heard(events, 3) == told(sent)

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))
    assert taken > lost


def test_an_error_that_nobody_foresaw_ends_the_listening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: stream_reader.StreamReader) -> Msg:
        raise ZeroDivisionError

    async def scenario(server: NatsServer) -> None:
        await keep(server, ONE_STREAM)
        async with aclosing(follow_events(server.url, EventFilter())) as events:
            monkeypatch.setattr(stream_reader.StreamReader, "next", broken)
            await heard(events, 1)

    with nats_server(tmp_path) as server, pytest.raises(ZeroDivisionError):
        asyncio.run(scenario(server))


def test_a_run_that_ended_before_does_not_end_the_story(tmp_path: Path) -> None:
    async def scenario(server: NatsServer) -> None:
        await keep(server, ONE_STREAM)
        await publish(server, (COMPLETED, CALL))
        await publish(server, (SPLIT, CALL), run=2)
        async with aclosing(follow_events(server.url, EventFilter(CALL, until_end=True))) as events:
            await heard(events, 2)
            await publish(server, (COMPLETED, CALL), run=2)
            assert await heard(events) == told([(COMPLETED, CALL)])

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


def test_what_follows_the_end_does_not_keep_the_story_open(tmp_path: Path) -> None:
    async def work() -> None:
        with nats_server(tmp_path) as server:
            await keep(server, ONE_STREAM)
            await publish(server, (RECEIVED, CALL), (COMPLETED, CALL), (SPLIT, CALL))
            async with aclosing(
                follow_events(server.url, EventFilter(CALL, until_end=True))
            ) as events:
                told = await heard(events)
        assert [event_type for event_type, _ in told] == [RECEIVED, COMPLETED, SPLIT]

    asyncio.run(work())


def test_only_what_comes_is_heard_and_a_pattern_chooses_types(tmp_path: Path) -> None:
    async def scenario(server: NatsServer) -> None:
        await keep(server, ONE_STREAM)
        await publish(server, (COMPLETED, OTHER))
        async with aclosing(
            follow_events(server.url, EventFilter(pattern="*.completed"))
        ) as events:
            waiting = asyncio.create_task(heard(events, 1))
            await until_listening(server)
            await publish(server, (SPLIT, CALL), (COMPLETED, CALL))
            assert await waiting == told([(COMPLETED, CALL)])

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


async def until_listening(server: NatsServer) -> None:
    """Until somebody has a consumer; only then is an event one that comes."""

    async def consumers() -> int:
        info = await client.jetstream().stream_info("POCWHISP")
        return info.state.consumer_count or 0

    async with asyncio.timeout(DEADLINE), await nats.connect(server.url) as client:
        while not await consumers():
            pass


@pytest.mark.parametrize("wiped", [False, True])
def test_nothing_is_missed_or_told_twice_when_the_broker_comes_back(
    tmp_path: Path, *, wiped: bool
) -> None:
    async def scenario(server: NatsServer) -> None:
        await keep(server, ONE_STREAM)
        await publish(server, (RECEIVED, CALL), (SPLIT, CALL))
        async with aclosing(follow_events(server.url, EventFilter(from_start=True))) as events:
            assert await heard(events, 2) == told([(RECEIVED, CALL), (SPLIT, CALL)])
            server.stop()
            if wiped:
                server.wipe()
            server.start()
            if wiped:
                await keep(server, ONE_STREAM)
            await publish(server, (COMPLETED, CALL), (RECEIVED, OTHER))
            assert await heard(events, 2) == told([(COMPLETED, CALL), (RECEIVED, OTHER)])

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


def test_listening_ends_when_it_is_cancelled_while_events_come(tmp_path: Path) -> None:
    kept = [(event_type, uuid4()) for _ in range(20) for event_type in STORY]

    async def scenario(server: NatsServer) -> None:
        await keep(server, ONE_STREAM)
        await publish(server, *kept)
        for number in range(36):
            count, turns = 1 + number % 3, number // 3
            task = await cancelled_behind(server, count, turns)
            assert task.cancelled(), f"{turns} turns behind event {count}"

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


async def cancelled_behind(server: NatsServer, count: int, turns: int) -> asyncio.Task[None]:
    """Listening from the start that is cancelled so many loop turns behind its n-th event."""
    enough = asyncio.Event()

    async def listening_on() -> None:
        async with aclosing(follow_events(server.url, EventFilter(from_start=True))) as events:
            await heard(events, count)
            enough.set()
            async for _ in events:
                pass

    task = asyncio.create_task(listening_on())
    async with asyncio.timeout(DEADLINE):
        await enough.wait()
    await let_pass(turns)
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE)
    return task


def test_no_message_is_lost_to_a_wait_that_is_cut_short(tmp_path: Path) -> None:
    async def scenario(server: NatsServer) -> None:
        async with await nats.connect(server.url) as client:
            inbox = await Inbox.open(client)
            for turns in range(12):
                await client.publish(inbox.subject, str(turns).encode())
                await client.flush()
                waiting = asyncio.create_task(inbox.next(DEADLINE))
                await let_pass(turns)
                waiting.cancel()
                await asyncio.wait({waiting})
                message = await inbox.next(DEADLINE) if waiting.cancelled() else waiting.result()
                assert message.data == str(turns).encode()

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


async def let_pass(turns: int) -> None:
    """Let everybody else go on for so many turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


def test_an_inbox_tells_silence_from_a_closed_connection(tmp_path: Path) -> None:
    async def scenario(server: NatsServer) -> None:
        async with await nats.connect(server.url) as client:
            inbox = await Inbox.open(client)
            with pytest.raises(TimeoutError, match="Nothing came"):
                await inbox.next(0.01)
        with pytest.raises(ConnectionClosedError):
            await inbox.next(DEADLINE)

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


def test_a_closed_inbox_takes_no_more_messages(tmp_path: Path) -> None:
    async def scenario(server: NatsServer) -> None:
        async with await nats.connect(server.url) as client:
            inbox = await Inbox.open(client)
            await inbox.close()
            await client.publish(inbox.subject)
            await client.flush()
            with pytest.raises(TimeoutError, match="Nothing came"):
                await inbox.next(0.01)

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


@pytest.mark.parametrize("streams", [ONE_STREAM, {}])
def test_listening_ends_once_the_broker_has_closed_the_connection_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streams: dict[str, list[str]]
) -> None:
    clients = list[Client]()

    class KnownClient(Client):
        def __init__(self) -> None:
            super().__init__()
            clients.append(self)

    monkeypatch.setattr(stream_reader, "Client", KnownClient)
    monkeypatch.setattr(event_stream, "NOTICE_AFTER", 0.0)
    printed = asyncio.Queue[str]()

    async def scenario(server: NatsServer) -> None:
        await keep(server, streams)
        wanted = EventFilter(CALL)
        async with aclosing(follow_events(server.url, wanted, printed.put_nowait)) as events:
            waiting = asyncio.create_task(heard(events, 1))
            assert "waiting" in await printed.get()
            await clients[0]._process_err("'User Authentication Expired'")  # noqa: SLF001
            with pytest.raises(ServerAway, match="The broker has closed the connection"):
                await waiting

    with nats_server(tmp_path) as server:
        asyncio.run(scenario(server))


def test_no_broker_is_told_at_once() -> None:
    async def scenario() -> None:
        async with aclosing(
            follow_events(f"nats://127.0.0.1:{free_port()}", EventFilter())
        ) as events:
            await anext(events)

    with pytest.raises(ServerAway, match="There is no broker at nats://"):
        asyncio.run(scenario())


def test_a_broker_that_is_away_is_named_without_its_password() -> None:
    port = free_port()

    async def scenario() -> None:
        url = f"nats://pocwhisp:secret@127.0.0.1:{port}"
        async with aclosing(follow_events(url, EventFilter())) as events:
            await anext(events)

    with pytest.raises(ServerAway) as away:
        asyncio.run(scenario())
    assert str(away.value) == f"There is no broker at nats://127.0.0.1:{port}."
