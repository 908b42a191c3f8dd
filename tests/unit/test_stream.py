"""What the broker is asked to keep, and how a consumer gets it."""

import asyncio

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy, StorageType

from infra.dispatcher.broker import STREAM, BrokerConnection
from infra.dispatcher.consumer_jetstream import JetStreamConsumer
from infra.dispatcher.settings import DispatchSettings, EventRoute

ROUTE = EventRoute(
    function="merge",
    type="io.pocwhisp.channel.transcribed.v1",
    url="http://merge.test/",
    in_flight=8,
)


def test_the_stream_keeps_all_events_for_a_week_on_disk() -> None:
    assert STREAM.subjects == ["io.pocwhisp.>"]
    assert STREAM.retention is RetentionPolicy.LIMITS
    assert STREAM.storage is StorageType.FILE
    assert STREAM.max_age == 7 * 24 * 3600


def test_the_same_event_published_twice_within_two_minutes_is_one() -> None:
    assert STREAM.duplicate_window == 120


def test_a_consumer_delivers_until_acknowledged_and_bounds_nothing_by_itself() -> None:
    assert asyncio.run(config(ack_wait=15)) == ConsumerConfig(
        name="merge--channel-transcribed-v1",
        durable_name="merge--channel-transcribed-v1",
        filter_subject="io.pocwhisp.channel.transcribed.v1.>",
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=15,
        max_deliver=-1,
        max_ack_pending=-1,
    )


def test_what_a_killed_dispatcher_worked_on_comes_again_within_a_quarter_of_a_minute() -> None:
    assert DispatchSettings().ack_wait <= 15


async def config(ack_wait: float) -> ConsumerConfig:
    return JetStreamConsumer(BrokerConnection(), ROUTE, ack_wait).config
