"""The sweep's view of JetStream."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerInfo, RawStreamMsg
from nats.js.errors import NotFoundError

from events import Envelope, Event
from functions.persist.sweep import DeliveryState, LastEvent
from shared.bus import Bus
from shared.cancellation import cancellable
from shared.errors import Unavailable

FUNCTION_CONSUMER = re.compile(r"[a-z0-9-]+--[a-z0-9-]+|KN_SUB_\w+")
"""Names of the dispatcher's and of eventing-natss's consumers; others do not count."""
CONSUMERS_PER_ANSWER = 256
"""Consumers in one answer of the broker."""
LEAST_SETTLED: tuple[DeliveryState, ...] = ("waiting", "held", "done")


class JetStreamBroker:
    """`sweep.Broker` on JetStream, for one sweep: the consumers' progress is read once.

    Their progress since then only makes an event seem less settled than it is.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._streams: dict[str, str | None] = {}
        self._consumers: dict[str, list[ConsumerInfo]] = {}

    async def publish(self, envelope: Envelope[Event]) -> None:
        await self._bus.publish(envelope)

    async def last_event(self, subject: str) -> LastEvent | None:
        await self._bus.check()
        with _broker_errors():
            stream = await self._stream(subject)
            if stream is None:
                return None
            consumers = await self._consumers_of(stream)
            try:
                message = await cancellable(self._bus.stream_context.get_last_msg(stream, subject))
            except NotFoundError:
                return None
        return _kept(message, [one for one in consumers if _takes(one, subject)])

    async def _stream(self, subject: str) -> str | None:
        kind = subject.rsplit(".", 2)[0]
        if kind not in self._streams:
            try:
                name = await cancellable(
                    self._bus.stream_context.find_stream_name_by_subject(subject)
                )
            except NotFoundError:
                name = None
            self._streams[kind] = name
        return self._streams[kind]

    async def _consumers_of(self, stream: str) -> list[ConsumerInfo]:
        if stream not in self._consumers:
            found: list[ConsumerInfo] = []
            while len(found) % CONSUMERS_PER_ANSWER == 0:
                page = await cancellable(
                    self._bus.stream_context.consumers_info(stream, len(found))
                )
                found += page
                if not page:
                    break
            self._consumers[stream] = found
        return self._consumers[stream]


def _kept(message: RawStreamMsg, consumers: Sequence[ConsumerInfo]) -> LastEvent | None:
    run = _run_of(message.data or b"")
    if run is None or message.time is None or message.seq is None:
        return None
    found = {_state(consumer, message.seq) for consumer in consumers} or {"held"}
    state = next(state for state in LEAST_SETTLED if state in found)
    return LastEvent(run, message.time, state)


def _run_of(payload: bytes) -> int | None:
    """Return the run that the event is about. Returns None if it cannot be read as an event."""
    try:
        event = json.loads(payload)
        return int(str(event["correlationid"]).rpartition("/")[2])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _state(consumer: ConsumerInfo, sequence: int) -> DeliveryState:
    """Return how far the consumer is with the message of that `sequence`.

    Messages between the ack floor and the last delivered one are acknowledged in any order, and
    the broker does not show which: they count as held while any is.
    """
    delivered, floor = consumer.delivered, consumer.ack_floor
    if delivered is None or sequence > delivered.stream_seq:
        return "waiting" if consumer.num_pending else "done"
    if floor is None or sequence > floor.stream_seq:
        return "held" if consumer.num_ack_pending else "done"
    return "done"


def _takes(consumer: ConsumerInfo, subject: str) -> bool:
    """Return whether it is a function's consumer and its filters match the subject."""
    config = consumer.config
    filters = config.filter_subjects or [config.filter_subject or ">"]
    return (
        config.ack_policy == AckPolicy.EXPLICIT
        and FUNCTION_CONSUMER.fullmatch(consumer.name) is not None
        and any(_matches(pattern, subject) for pattern in filters)
    )


def _matches(pattern: str, subject: str) -> bool:
    """Return whether a NATS filter matches the subject."""
    tokens, names = pattern.split("."), subject.split(".")
    if tokens[-1] == ">":
        tokens, names = tokens[:-1], names[: len(tokens) - 1]
    return len(tokens) == len(names) and all(
        token in ("*", name) for token, name in zip(tokens, names, strict=True)
    )


@contextmanager
def _broker_errors() -> Iterator[None]:
    try:
        yield
    except (NatsError, OSError, TimeoutError) as error:
        raise Unavailable(f"The broker failed: {error or type(error).__name__}") from error
