"""What the dispatcher does with deliveries."""

import asyncio
import json
from uuid import UUID, uuid4

import pytest

from events import ChannelTranscribed, DeliveryParked, RecordingSplit
from tests.support.dispatching import (
    TRACE,
    dispatching,
    route_to,
    transcribed,
    until,
)
from tests.support.servers import DIE, NatsServer, ScriptedFunction

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
    assert (consumer.ack_wait, consumer.max_deliver, consumer.max_ack_pending) == (30, -1, 8 + 16)


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


async def test_the_last_attempt_parks_the_event_with_what_the_function_said(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = transcribed()
    answer = (500, b'{"error": "transient", "message": "not for the event"}')
    async with (
        ScriptedFunction(default=answer) as merge,
        dispatching(server, monkeypatch, route_to(merge.url)) as stack,
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
        dispatching(server, monkeypatch, route_to(merge.url)) as stack,
    ):
        await stack.publish(transcribed())
        parked = await stack.parked()
        await stack.settled()
        [line] = stack.logged("parked")
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
        dispatching(server, monkeypatch, route_to(merge.url)) as stack,
    ):
        await stack.publish(transcribed())
        await until(lambda: len(merge.received) == 9)
        await stack.settled()
        assert not stack.logged("parked")
        assert stack.logged("retried")[-1]["attempts"] == 2


async def test_a_function_that_is_not_up_gets_its_events_when_it_is(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = ScriptedFunction()
    async with dispatching(server, monkeypatch, route_to(merge.url)) as stack:
        await stack.publish(transcribed())
        await until(lambda: len(stack.logged("retried")) > 4)
        assert {line["reason"] for line in stack.logged("retried")} == {"function_not_up"}
        async with merge:
            await stack.settled()
        assert not stack.logged("parked")
    assert len(merge.received) == 1


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


async def test_long_work_is_not_delivered_twice_while_the_function_is_alive(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def long_work() -> int:
        await asyncio.sleep(3)
        return 204

    async with (
        ScriptedFunction(long_work) as merge,
        dispatching(server, monkeypatch, route_to(merge.url), DISPATCH_ACK_WAIT="1") as stack,
    ):
        await stack.publish(transcribed())
        await until(lambda: merge.received)
        await stack.settled()
        assert not stack.logged("retried")
    assert len(merge.received) == 1


async def test_a_function_that_hangs_without_a_sign_of_life_is_given_up(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ScriptedFunction(asyncio.Event().wait, 204) as merge,
        dispatching(server, monkeypatch, route_to(merge.url), DISPATCH_ACK_WAIT="1") as stack,
    ):
        merge.alive.clear()
        await stack.publish(transcribed())
        await until(lambda: len(merge.received) == 2)
        await stack.settled()
        [line] = stack.logged("retried")
    assert (line["reason"], line["attempts"]) == ("function_died", 1)


async def test_work_beyond_its_cap_is_given_up_although_the_function_is_alive(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"DISPATCH_ACK_WAIT": "1", "DISPATCH_WORK_FLOOR": "0.1", "DISPATCH_WORK_FACTOR": "10"}
    async with (
        ScriptedFunction(asyncio.Event().wait, 204) as merge,
        dispatching(server, monkeypatch, route_to(merge.url), **quick) as stack,
    ):
        await stack.publish(transcribed(duration=0.15))
        await until(lambda: len(merge.received) == 2)
        [line] = stack.logged("retried")
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
            route_to(merge.url, in_flight=3),
            route_to(quick.url, function="quick", in_flight=1),
        ) as stack,
    ):
        for _ in range(9):
            await stack.publish(transcribed())
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
            route_to(left.url, function="transcribe-left", type=RecordingSplit.type),
            route_to(right.url, function="transcribe-right", type=RecordingSplit.type),
        )
        async with dispatching(server, monkeypatch, *routes) as stack:
            await stack.publish(split)
            await until(lambda: left.received and right.received)
            await stack.settled("transcribe-left--recording-split-v1")
            await stack.settled("transcribe-right--recording-split-v1")
    assert [len(left.received), len(right.received)] == [1, 1]
