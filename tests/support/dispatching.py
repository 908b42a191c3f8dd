"""A dispatcher in this process, over a real broker, for tests."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from events import ChannelTranscribed, Envelope, Event
from infra.dispatcher.session import dispatch
from infra.dispatcher.settings import DispatchSettings, SweepSettings
from shared.bus import Bus
from shared.ports import utc_now
from tests.support.servers import NatsServer
from tests.support.waiting import until

DEADLINE = 15.0
QUICK = {
    "DISPATCH_BACKOFF_BASE": "0.1",
    "DISPATCH_BACKOFF_CAP": "0.2",
    "DISPATCH_OUTAGE_CAP": "0.2",
    "DISPATCH_MAX_ATTEMPTS": "3",
    "DISPATCH_GRACE": "2",
}


class Stack:
    """A broker, a dispatcher in this process, and a client that publishes and looks on."""

    def __init__(
        self,
        bus: Bus,
        logs: list[MutableMapping[str, Any]],
        work: asyncio.Task[None],
    ) -> None:
        self.bus = bus
        self.logs = logs
        self.work = work

    async def publish(self, event: Event) -> None:
        await publish(self.bus, event)

    async def settled(self, consumer: str = "merge--channel-transcribed-v1") -> None:
        """Wait until the consumer has nothing left to deliver and nothing unacknowledged."""
        jetstream = self.bus.client.jetstream()
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            info = await jetstream.consumer_info("POCWHISP", consumer)
            if not info.num_pending and not info.num_ack_pending:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{consumer} is not settled: {info}")

    async def deliveries(self, consumer: str = "merge--channel-transcribed-v1") -> int:
        """How many deliveries the consumer made so far, those that came again included."""
        info = await self.bus.client.jetstream().consumer_info("POCWHISP", consumer)
        return info.delivered.consumer_seq if info.delivered else 0

    async def no_pull_waits(self, consumer: str = "merge--channel-transcribed-v1") -> None:
        await no_pull_waits(self.bus, consumer)

    def logged(self, word: str) -> list[MutableMapping[str, Any]]:
        return [line for line in self.logs if line["event"] == word]


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def no_pull_waits(bus: Bus, consumer: str = "merge--channel-transcribed-v1") -> None:
    """Wait until the broker has nobody to hand the next message to."""
    jetstream = bus.client.jetstream()
    end = time.monotonic() + DEADLINE
    while (await jetstream.consumer_info("POCWHISP", consumer)).num_waiting:
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def publish(bus: Bus, event: Event) -> None:
    """Publish the event as a function would."""
    await bus.publish(
        Envelope(data=event, source="/pocwhisp/test", time=utc_now(), traceparent=TRACE)
    )


def transcribed(channel: str = "left", duration: float = 12.5) -> ChannelTranscribed:
    recording = uuid4()
    return ChannelTranscribed.model_validate(
        {
            "tenant": "default",
            "recording": recording,
            "run": 2,
            "channel": channel,
            "channels": ("left", "right"),
            "duration": duration,
            "transcript": f"default/{recording}/2/{channel}.json",
        }
    )


def route_to(url: str, **changes: object) -> dict[str, object]:
    return {"function": "merge", "type": ChannelTranscribed.type, "url": url, **changes}


@asynccontextmanager
async def dispatching(
    server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
    *routes: dict[str, object],
    **environment: str,
) -> AsyncIterator[Stack]:
    for name, text in {**QUICK, "DISPATCH_ROUTES": json.dumps(routes), **environment}.items():
        monkeypatch.setenv(name, text)
    async with AsyncExitStack() as stack:
        logs = stack.enter_context(capture_logs())
        work = asyncio.create_task(dispatch(DispatchSettings(), SweepSettings(), server.url))
        stack.push_async_callback(stopped, work)
        await until(lambda: work.done() or any(line["event"] == "ready" for line in logs))
        bus = await stack.enter_async_context(Bus.connect(server.url))
        yield Stack(bus, logs, work)


async def stopped(work: asyncio.Task[None]) -> None:
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
