"""The sweep: send again what is on record but not at the broker."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from events import Envelope, Event, RecordingReceived
from functions.persist.record import Unannounced, Unfinished
from shared.ports import Publisher

AT_ONCE = 100
"""Runs looked at in one sweep; the next sweep takes those that waited longest."""


class Broker(Publisher, Protocol):
    """A publisher that can be asked what it keeps."""

    async def last(self, subject: str) -> dict[str, Any] | None:
        """The last event on the subject as structured JSON, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did: runs looked at, events sent again."""

    looked_at: int
    redriven: int


async def sweep_once(
    unfinished: Unfinished, broker: Broker, now: datetime, patience: timedelta
) -> Swept:
    """Ask the broker for the event of every run that is under way or ended unannounced.

    What it does not have is published under a new message id. What it has is left alone: its
    delivery goes on without us. A run is looked at once per `patience`.
    """
    runs = await unfinished.unannounced(now - patience, AT_ONCE)
    missing = [run for run in runs if not await settled(run, unfinished, broker)]
    for run in missing:
        await unfinished.redriven(run)
        await broker.publish(again(run, now))
    return Swept(len(runs), len(missing))


async def settled(run: Unannounced, unfinished: Unfinished, broker: Broker) -> bool:
    """Whether the broker has the run's event; an ended run is then done with."""
    last = await broker.last(run.event.subject)
    if last is None or last["id"] != run.event.event_id:
        return False
    if not isinstance(run.event, RecordingReceived):
        await unfinished.announced(run)
    return True


def again(run: Unannounced, now: datetime) -> Envelope[Event]:
    """The run's event for one more sending."""
    return Envelope(data=run.event, source="/pocwhisp/persist", time=now, redrive=run.redrives + 1)
