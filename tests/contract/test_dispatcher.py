"""What the dispatcher does with deliveries."""

import asyncio
import json
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from events import ChannelTranscribed, RecordingSplit
from tests.support.dispatching import TRACE, dispatching, route_to, transcribed
from tests.support.servers import DIE, NatsServer, Posted, ScriptedFunction
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


async def test_an_event_is_delivered_once_in_binary_mode_and_acknowledged(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = transcribed()
    async with (
        ScriptedFunction() as merge,
        dispatching(server, monkeypatch, route_to(merge.url)) as stack,
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
        server, monkeypatch, route_to("http://127.0.0.1:1/", in_flight=8)
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
    assert (consumer.ack_wait, consumer.max_deliver, consumer.max_ack_pending) == (15, -1, -1)


async def test_the_consumer_of_an_older_release_is_changed_and_keeps_its_place(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "merge--channel-transcribed-v1"
    async with (
        ScriptedFunction() as merge,
        dispatching(server, monkeypatch, route_to(merge.url)) as stack,
    ):
        await stack.publish(transcribed())
        await stack.settled()
        jetstream = stack.bus.client.jetstream()
        before = await jetstream.consumer_info("POCWHISP", name)
        older = replace(before.config, ack_wait=30, max_ack_pending=17)
        await jetstream.add_consumer("POCWHISP", older)
    async with dispatching(server, monkeypatch, route_to("http://127.0.0.1:1/")) as stack:
        now = await stack.bus.client.jetstream().consumer_info("POCWHISP", name)
    assert (now.config.ack_wait, now.config.max_ack_pending) == (15, -1)
    assert now.created == before.created


async def test_a_failed_delivery_comes_again_until_it_succeeds(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ScriptedFunction(500, 500, 204) as merge,
        dispatching(server, monkeypatch, route_to(merge.url)) as stack,
    ):
        await stack.publish(transcribed())
        await until(lambda: len(merge.received) == 3)
        await stack.settled()
        assert [line["attempts"] for line in stack.logged("retried")] == [1, 2]
        assert not stack.logged("parked")
    assert len(merge.received) == 3


async def test_a_function_killed_with_the_event_in_hand_gets_it_again(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ScriptedFunction(DIE, 204) as merge,
        dispatching(server, monkeypatch, route_to(merge.url)) as stack,
    ):
        await stack.publish(transcribed())
        await until(lambda: len(merge.received) == 2)
        await stack.settled()
        [line] = stack.logged("retried")
    assert (line["reason"], line["attempts"]) == ("function_died", 1)


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
            route_to(left.url, function="transcribe-left", type=RecordingSplit.type),
            route_to(right.url, function="transcribe-right", type=RecordingSplit.type),
        )
        async with dispatching(server, monkeypatch, *routes) as stack:
            await stack.publish(split)
            await until(lambda: left.received and right.received)
            await stack.settled("transcribe-left--recording-split-v1")
            await stack.settled("transcribe-right--recording-split-v1")
    assert [len(left.received), len(right.received)] == [1, 1]


async def test_long_work_is_not_delivered_twice_while_the_function_is_alive(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = asyncio.get_running_loop().time

    async def long_work() -> int:
        end = clock() + 2.2
        await until(lambda: clock() > end)
        return 204

    route = route_to("", in_flight=2)
    async with ScriptedFunction(default=long_work) as merge:
        route["url"] = merge.url
        async with dispatching(server, monkeypatch, route, DISPATCH_ACK_WAIT="1") as stack:
            await stack.publish(transcribed())
            await until(lambda: merge.received)
            await stack.settled()
            deliveries = await stack.deliveries()
            assert not stack.logged("retried")
    assert len(merge.received) == 1
    assert deliveries == 1


async def test_a_function_that_hangs_is_an_outage_and_not_the_events_failure(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = asyncio.Event()
    async with (
        ScriptedFunction(hung.wait, hung.wait, 204) as merge,
        dispatching(server, monkeypatch, route_to(merge.url), DISPATCH_ACK_WAIT="0.3") as stack,
    ):
        merge.alive.clear()
        await stack.publish(transcribed())
        await until(lambda: len(merge.received) == 3)
        merge.alive.set()
        await stack.settled()
        assert not stack.logged("parked")
        assert {line["reason"] for line in stack.logged("retried")} == {"function_silent"}
        assert {line["attempts"] for line in stack.logged("retried")} == {0}


async def test_a_hung_function_that_is_killed_costs_its_event_no_attempt(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = asyncio.Event()

    async def hang() -> int:
        merge.alive.clear()
        await hung.wait()
        raise AssertionError

    async with (
        ScriptedFunction(hang, 204) as merge,
        dispatching(server, monkeypatch, route_to(merge.url), DISPATCH_ACK_WAIT="1.5") as stack,
    ):
        await stack.publish(transcribed())
        await until(lambda: merge.probes)
        await merge.stop()
        merge.alive.set()
        await merge.start()
        await stack.settled()
        assert stack.logged("retried")[0]["reason"] == "function_silent"
        assert {line["attempts"] for line in stack.logged("retried")} == {0}


async def test_a_function_that_drains_keeps_the_delivery_that_it_works_on(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def slow() -> int:
        merge.drain()
        await gate.wait()
        return 204

    async with (
        ScriptedFunction(slow) as merge,
        dispatching(
            server, monkeypatch, route_to(merge.url, in_flight=2), DISPATCH_ACK_WAIT="0.3"
        ) as stack,
    ):
        await stack.publish(transcribed())
        await until(lambda: merge.received)
        end = asyncio.get_running_loop().time() + 1
        await until(lambda: asyncio.get_running_loop().time() > end)
        gate.set()
        await stack.settled()
        assert not stack.logged("retried")
    assert len(merge.received) == 1


async def test_any_number_of_events_that_persist_cannot_write_holds_up_no_other(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = transcribed()

    def choose(posted: Posted) -> int:
        return 204 if posted.headers["ce-id"] == good.event_id else 500

    async with ScriptedFunction(choose=choose) as persist:
        route = route_to(persist.url, function="persist")
        async with dispatching(server, monkeypatch, route) as stack:
            for _ in range(30):
                await stack.publish(transcribed())
            await until(lambda: len(stack.logged("stuck")) == 30)
            await stack.publish(good)
            written = [posted.headers["ce-id"] for posted in persist.received]
            await until(lambda: good.event_id in (it.headers["ce-id"] for it in persist.received))
            assert stack.logged("stuck")[-1]["stuck"] == 30
    assert good.event_id not in written
