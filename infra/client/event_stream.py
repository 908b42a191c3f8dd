"""Follows events: first those that the broker's streams keep, in order, then new ones.

Works with one stream for all types as with one for each: streams are found by their subjects.
Nothing is acknowledged, and the broker drops the consumers by itself within a minute, so following
events has no effect on others.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from typing import Any, TypeAlias

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from events import RecordingCompleted, RecordingFailed
from infra.client.event_filter import EventFilter, intersect_subjects, matches, subject_of
from infra.client.stream_reader import READ_RETRY_DELAY, StreamReader, check_open, connected
from shared.cancellation import cancellable
from shared.nats_inbox import REQUEST_TIMEOUT

CloudEvent: TypeAlias = dict[str, Any]
"""A CloudEvent in structured mode."""
FollowedEvent: TypeAlias = tuple[CloudEvent | None, bool]
"""An event, or None for a message that is none, and whether it is the newest."""
PrintError: TypeAlias = Callable[[str], None]

ENDS = {RecordingCompleted.type, RecordingFailed.type}
NOTICE_AFTER = 2.0
"""Seconds without an event after which a message says why there may be none."""


async def stream_readers(
    client: Client, subject: str, print_error: PrintError
) -> list[StreamReader]:
    """Return a reader for each stream that holds some of the subjects; wait for the first."""
    jetstream = client.jetstream(timeout=REQUEST_TIMEOUT)
    with _notice("The broker keeps no events of PocWhisp; waiting …", print_error):
        while True:
            with suppress(NatsError, OSError, TimeoutError):
                streams = await cancellable(jetstream.streams_info())
                found = [
                    StreamReader(client, str(stream.config.name), filtered)
                    for stream in streams
                    for held in stream.config.subjects or ()
                    if (filtered := intersect_subjects(subject, held))
                ]
                if found:
                    return found
            check_open(client)
            await asyncio.sleep(READ_RETRY_DELAY)


async def stream_events(
    readers: Sequence[StreamReader], print_error: PrintError, *, from_start: bool
) -> AsyncGenerator[FollowedEvent]:
    """Yield the events in the order of the broker, and whether each is the newest.

    Stored events of all streams come first, by time, then new ones. For a message that is no
    event, print an error and yield None.
    """
    async with aclosing(_messages(readers, from_start=from_start)) as messages:
        async for message, is_newest in messages:
            event = event_in(message.data)
            if event is None:
                print_error(f"A message on {message.subject} is no CloudEvent; it is left out.")
            yield event, is_newest


async def _messages(
    readers: Sequence[StreamReader], *, from_start: bool
) -> AsyncGenerator[tuple[Msg, bool]]:
    pending = {reader: await reader.open(from_start=from_start) for reader in readers}
    heads = {reader: await reader.next() for reader in readers if pending[reader]}
    while heads:
        reader = min(heads, key=lambda each: heads[each].metadata.timestamp)
        message = heads.pop(reader)
        if message.metadata.num_pending:
            heads[reader] = await reader.next()
        yield message, not heads
    async with aclosing(_merged(readers)) as messages:
        async for message in messages:
            yield message, True


async def _merged(readers: Sequence[StreamReader]) -> AsyncGenerator[Msg]:
    """Yield the messages of all readers as they come. Raises the error that ends one of them."""
    arrived: asyncio.Queue[Msg | Exception] = asyncio.Queue(maxsize=1)

    async def pump(reader: StreamReader) -> None:
        try:
            while True:
                await arrived.put(await reader.next())
        except Exception as error:  # noqa: BLE001 - raised below
            await arrived.put(error)

    pumps = [asyncio.create_task(pump(reader)) for reader in readers]
    try:
        while True:
            if isinstance(message := await arrived.get(), Exception):
                raise message
            yield message
    finally:
        for each in pumps:
            each.cancel()


def event_in(content: bytes) -> CloudEvent | None:
    """Return the CloudEvent in a message. Returns None if there is none."""
    try:
        event = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("type"), str) else None


def run_of(event: CloudEvent | None) -> int:
    """Return the run that an event belongs to, 0 if it names none."""
    data = event.get("data") if event else None
    run = data.get("run") if isinstance(data, dict) else None
    return run if isinstance(run, int) else 0


async def follow_events(
    url: str, event_filter: EventFilter, print_error: PrintError = lambda _: None
) -> AsyncGenerator[CloudEvent]:
    """Yield the events of the broker at `url`.

    Raises `ServerAway` if it does not answer, or closes the connection for good.

    `print_error` gets a sentence for each message left out, and for a recording without events.
    """
    from_start = event_filter.from_start or event_filter.session is not None
    last_run, ended_run = 0, -1
    async with connected(url) as client:
        readers = await stream_readers(client, subject_of(event_filter.session), print_error)
        async with aclosing(stream_events(readers, print_error, from_start=from_start)) as events:
            async for event, is_newest in _with_notice(events, event_filter, print_error):
                if event is not None and matches(event["type"], event_filter.pattern):
                    yield event
                last_run = max(last_run, run_of(event))
                if event is not None and event["type"] in ENDS:
                    ended_run = max(ended_run, run_of(event))
                if event_filter.until_end and is_newest and ended_run == last_run:
                    return


async def _with_notice(
    events: AsyncGenerator[FollowedEvent], event_filter: EventFilter, print_error: PrintError
) -> AsyncGenerator[FollowedEvent]:
    """Yield the events; print a notice if the recording has none yet."""
    with _notice(
        f"There is no event of {event_filter.session} yet; waiting …", print_error
    ) as notice:
        if event_filter.session is None:
            notice.cancel()
        async for event in events:
            notice.cancel()
            yield event


@contextmanager
def _notice(message: str, print_error: PrintError) -> Iterator[asyncio.TimerHandle]:
    """Print the message after `NOTICE_AFTER` unless the handle is cancelled or the context ends."""
    handle = asyncio.get_running_loop().call_later(NOTICE_AFTER, print_error, message)
    try:
        yield handle
    finally:
        handle.cancel()
