"""Events as they pass: what the broker's streams keep, in order, and then what comes.

Works with one stream for all types as with one for each: streams are found by their subjects.
Nothing is acknowledged and nothing is left behind, so listening changes nothing for anybody.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, TypeAlias
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from events import RecordingCompleted, RecordingFailed
from infra.client.errors import ServerAway
from shared.nats_inbox import Inbox, heeding

CloudEvent: TypeAlias = dict[str, Any]
"""A CloudEvent in structured mode."""

PREFIX = "io.pocwhisp."
EVERYTHING = f"{PREFIX}>"
ENDS = {RecordingCompleted.type, RecordingFailed.type}
PassingEvent: TypeAlias = tuple[CloudEvent | None, bool]
PrintError: TypeAlias = Callable[[str], None]
CONNECT_TIMEOUT = 2.0
REQUEST_TIMEOUT = 5.0
SILENCE = 5.0
PAUSE = 0.5
NOTICE_AFTER = 2.0
"""Seconds without an event after which the user is told why there may be none."""
BATCH = 256
PULL = json.dumps({"batch": BATCH, "expires": 30 * 10**9, "idle_heartbeat": 2 * 10**9}).encode()
HEARTBEAT = "100"
PULL_ENDS = ("404", "408")


def subject_of(session: UUID | None) -> str:
    """The NATS subjects of all events, or of one recording's, whoever owns it."""
    return EVERYTHING if session is None else f"{PREFIX}*.*.*.*.{session}"


def matches(event_type: str, pattern: str | None) -> bool:
    """Whether a type fits a shell pattern, such as `recording.*` or `*.completed`.

    The prefix `io.pocwhisp.` and the version may be left out.
    """
    short = event_type.removeprefix(PREFIX)
    names = (event_type, short, short.rpartition(".")[0])
    return pattern is None or any(fnmatchcase(name, pattern) for name in names)


def intersect_subjects(wanted: str, held: str) -> str | None:
    """The subjects that fit both NATS patterns, as one pattern; None if there are none.

    A consumer's filter must lie within its stream's subjects.
    """
    ours, theirs = wanted.split("."), held.split(".")
    common: list[str] = []
    for place in range(max(len(ours), len(theirs))):
        one, other = _token(ours, place), _token(theirs, place)
        if one == other == ">":
            return ".".join([*common, ">"])
        if ">" in (one, other):
            one = other = other if one == ">" else one
        if not one or not other or (one != other and "*" not in (one, other)):
            return None
        common.append(other if one == "*" else one)
    return ".".join(common)


def _token(tokens: Sequence[str], place: int) -> str:
    """The token at a place, empty behind the last; `>` stands for all from its place on."""
    if place < len(tokens):
        return tokens[place]
    return ">" if tokens[-1] == ">" else ""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """A connection that outlives the broker's restarts. Raise `ServerAway` if there is none."""
    client = Client()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await heeding(
                client.connect(
                    url, max_reconnect_attempts=-1, reconnect_time_wait=1, error_cb=_forget
                )
            )
    except (NatsError, OSError, TimeoutError, ValueError) as error:
        raise ServerAway(f"There is no broker at {url}.") from error
    try:
        yield client
    finally:
        await client.close()


async def _forget(_: Exception) -> None:
    """A broker that is away is waited for."""


class StreamReader:
    """A stream's messages of one subject in their order, each once, as long as there are any.

    The consumer is the broker's to forget: after a gap, a silence or a restart there is a new one
    that goes on behind the last message.
    """

    def __init__(self, client: Client, stream: str, subject: str) -> None:
        self._client = client
        self._jetstream = client.jetstream(timeout=REQUEST_TIMEOUT)
        self._stream = stream
        self._subject = subject
        self._next = 1
        self._made: datetime | None = None
        self._inbox: Inbox | None = None
        self._pulls = ""
        self._delivered = 0
        self._pulled = 0

    async def open(self, *, from_start: bool) -> int:
        """Begin with the oldest message or the next to come; how many are there already."""
        while True:
            try:
                return await heeding(self._begin(from_start=from_start))
            except (NatsError, OSError, TimeoutError):
                await self._drop()
                await asyncio.sleep(PAUSE)

    async def next(self) -> Msg:
        """The next message, however long it takes."""
        while True:
            try:
                if self._inbox is None:
                    await heeding(self._consume())
                return await self._received()
            except (NatsError, OSError, TimeoutError):
                await self._drop()
                await asyncio.sleep(PAUSE)

    async def _begin(self, *, from_start: bool) -> int:
        state = (await self._jetstream.stream_info(self._stream)).state
        self._next = 1 if from_start else state.last_seq + 1
        return await self._consume()

    async def _consume(self) -> int:
        await self._start_over_in_a_new_stream()
        self._inbox = await Inbox.open(self._client)
        consumer = await self._jetstream.add_consumer(
            self._stream,
            ConsumerConfig(
                filter_subject=self._subject,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._next,
                ack_policy=AckPolicy.NONE,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=60.0,
            ),
        )
        self._pulls = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer.name}"
        self._delivered = self._pulled = 0
        return consumer.num_pending or 0

    async def _start_over_in_a_new_stream(self) -> None:
        """A broker that was wiped counts from 1 again."""
        made = (await self._jetstream.stream_info(self._stream)).created
        if self._made not in (None, made):
            self._next = 1
        self._made = made

    async def _received(self) -> Msg:
        assert self._inbox is not None  # noqa: S101 - `next` has seen to it
        while True:
            if not self._pulled:
                await self._client.publish(self._pulls, PULL, reply=self._inbox.subject)
                self._pulled = BATCH
            message = await self._inbox.next(SILENCE)
            if message.reply:
                return self._counted(message)
            self._heed(message.headers or {})

    def _heed(self, headers: Mapping[str, str]) -> None:
        """Take note of a status. Raise `NatsError` if something is wrong with the pull."""
        status = headers.get("Status", "")
        if status in PULL_ENDS:
            self._pulled = 0
        elif status != HEARTBEAT:
            raise NatsError(f"The pull was refused: {status}")
        elif int(headers.get("Nats-Last-Consumer", 0)) > self._delivered:
            raise NatsError("The newest message is missing.")

    def _counted(self, message: Msg) -> Msg:
        """The message. Raise `NatsError` if one before it was lost on the way."""
        sequence = message.metadata.sequence
        if sequence.consumer != self._delivered + 1:
            raise NatsError("A message is missing.")
        self._delivered = sequence.consumer
        self._next = sequence.stream + 1
        self._pulled -= 1
        return message

    async def _drop(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            with suppress(NatsError, OSError):
                await inbox.close()


async def stream_readers(
    client: Client, subject: str, print_error: PrintError
) -> list[StreamReader]:
    """A reader for each stream that holds some of the subjects; waits until there is one."""
    jetstream = client.jetstream(timeout=REQUEST_TIMEOUT)
    with _notice("The broker keeps no events of PocWhisp; waiting …", print_error):
        while True:
            with suppress(NatsError, OSError, TimeoutError):
                streams = await heeding(jetstream.streams_info())
                found = [
                    StreamReader(client, str(stream.config.name), filtered)
                    for stream in streams
                    for held in stream.config.subjects or ()
                    if (filtered := intersect_subjects(subject, held))
                ]
                if found:
                    return found
            await asyncio.sleep(PAUSE)


async def stream_events(
    readers: Sequence[StreamReader], print_error: PrintError, *, from_start: bool
) -> AsyncGenerator[PassingEvent]:
    """The events in the order in which the broker took them, and whether each is the newest.

    What is there already comes first, of all streams by time; then what comes, as it comes. A
    message that is no event is None, and complained of.
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
    async with aclosing(_together(readers)) as messages:
        async for message in messages:
            yield message, True


async def _together(readers: Sequence[StreamReader]) -> AsyncGenerator[Msg]:
    """The messages of all readers as they come. What ends one of them is raised."""
    arrived: asyncio.Queue[Msg | Exception] = asyncio.Queue(maxsize=1)

    async def pump(reader: StreamReader) -> None:
        try:
            while True:
                await arrived.put(await reader.next())
        except Exception as error:  # noqa: BLE001 - raised below, where somebody waits
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
    """The CloudEvent that a message holds; None if it holds none."""
    try:
        event = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("type"), str) else None


def run_of(event: CloudEvent | None) -> int:
    """The run of its recording that an event is of; 0 if it names none."""
    data = event.get("data") if event else None
    run = data.get("run") if isinstance(data, dict) else None
    return run if isinstance(run, int) else 0


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted: one recording's from its beginning, or all from the `from_start`.

    `pattern` is one for types, see `matches`. `until_end`: no more once the last run has ended.
    """

    session: UUID | None = None
    pattern: str | None = None
    from_start: bool = False
    until_end: bool = False


async def listen(
    url: str, wanted: EventFilter, print_error: PrintError = lambda _: None
) -> AsyncGenerator[CloudEvent]:
    """The events that pass the broker at `url`. Raise `ServerAway` if it does not answer.

    `print_error` gets a sentence for what is left out, and for a recording without events.
    """
    from_start = wanted.from_start or wanted.session is not None
    last_run, ended_run = 0, -1
    async with connected(url) as client:
        readers = await stream_readers(client, subject_of(wanted.session), print_error)
        async with aclosing(stream_events(readers, print_error, from_start=from_start)) as events:
            async for event, is_newest in _with_notice(events, wanted, print_error):
                if event is not None and matches(event["type"], wanted.pattern):
                    yield event
                last_run = max(last_run, run_of(event))
                if event is not None and event["type"] in ENDS:
                    ended_run = max(ended_run, run_of(event))
                if wanted.until_end and is_newest and ended_run == last_run:
                    return


async def _with_notice(
    events: AsyncGenerator[PassingEvent], wanted: EventFilter, print_error: PrintError
) -> AsyncGenerator[PassingEvent]:
    """The events; if there is none of the one recording wanted, its user is told so."""
    with _notice(f"There is no event of {wanted.session} yet; waiting …", print_error) as notice:
        if wanted.session is None:
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
