"""The sweep: tell lost events from slow work by the latest stage reached, and send them again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal, Protocol

import structlog

from events import (
    ChannelTranscribed,
    DeliveryParked,
    Envelope,
    Event,
    RecordingReceived,
    RecordingSplit,
    TranscriptMerged,
    TranscriptSummarized,
)
from functions.persist.record import OpenRun, OpenRuns
from shared.errors import Unavailable
from shared.ports import Publisher
from shared.telemetry import next_traceparent

RUNS_PER_SWEEP = 100
"""Runs examined in one sweep; the next sweep takes those that waited longest."""
LONGEST_BACKOFF = timedelta(hours=1)
STUCK_REDRIVES = 5
"""Re-drives of a run after which a warning is logged."""
LEAST_WORK = timedelta(minutes=10)
WORK_FACTOR = 20
"""A consumer may hold a delivery for `LEAST_WORK`, or this many times the audio's length."""
FOLLOWERS: Mapping[type[Event], tuple[type[Event], ...]] = {
    RecordingReceived: (RecordingSplit, DeliveryParked),
    RecordingSplit: (ChannelTranscribed, TranscriptMerged, DeliveryParked),
    TranscriptMerged: (TranscriptSummarized, DeliveryParked),
}
"""Events that may be at the broker between the re-driven event and the next stage on record."""

DeliveryState = Literal["waiting", "held", "done"]
RunStatus = Literal["announced", "moving", "held", "lost"]
logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LastEvent:
    """The last event that the broker keeps on a subject.

    `run` is its recording's run. `state`: it waits for a consumer, a consumer may hold it, or all
    consumers are done with it.
    """

    run: int
    sent: datetime
    state: DeliveryState


class Broker(Publisher, Protocol):
    """A publisher that also shows what it keeps. Raises `errors.Unavailable`."""

    async def last_event(self, subject: str) -> LastEvent | None:
        """Return the last event on the subject. Returns None if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class SweepReport:
    """The outcome of one sweep: runs examined, events sent again."""

    examined: int
    redriven: int


async def sweep_once(
    open_runs: OpenRuns, broker: Broker, now: datetime, patience: timedelta
) -> SweepReport:
    """Examine every run that is due, and send again the events that the broker lost.

    A run is examined once per `patience`. No row is locked while the broker is asked. If the
    broker refuses an event, the runs of its type are left, the others are examined, and
    `Unavailable` is raised at the end. What was sent is saved whatever ends the sweep.
    """
    runs = await open_runs.claim(now - patience, RUNS_PER_SWEEP)
    after: list[OpenRun] = []
    failures: list[Unavailable] = []
    try:
        for _, alike in groupby(sorted(runs, key=_type_to_redrive), key=_type_to_redrive):
            try:
                for run in alike:
                    state = await _sweep_or_log(run, broker, now, patience)
                    after.append(state)  # one by one: an error leaves what was done before it
            except Unavailable as error:
                failures.append(error)
    finally:
        await open_runs.save([run for run in after if run not in runs])
    if failures:
        raise failures[0]
    redriven = sum(run.redrives for run in after) - sum(run.redrives for run in runs)
    return SweepReport(len(runs), redriven)


async def _sweep_or_log(
    run: OpenRun, broker: Broker, now: datetime, patience: timedelta
) -> OpenRun:
    """Sweep the run. An unexpected error is logged: it must not stop the sweep of the others."""
    try:
        return await sweep_run(run, broker, now, patience)
    except Unavailable:
        raise
    except Exception:
        logger.exception("unsweepable", recording=str(run.events[0].recording))
        return run


async def sweep_run(run: OpenRun, broker: Broker, now: datetime, patience: timedelta) -> OpenRun:
    """Send the run's event again if it is lost. Returns the run as it is to be saved."""
    match await examine(run, broker, now, patience):
        case "announced":
            return replace(run, announced=True)
        case "moving":
            return replace(run, held_since=None)
        case "held":
            return replace(run, held_since=run.held_since or now)
        case "lost":
            await broker.publish(redriven_envelope(run, now))
            return replace(run, redrives=run.redrives + 1, held_since=None)


async def examine(run: OpenRun, broker: Broker, now: datetime, patience: timedelta) -> RunStatus:
    """Return how the run stands, by the event to re-drive and its followers at the broker."""
    event = event_to_redrive(run)
    if run.ended:
        end = await _last_event(event, run.ended, broker)
        if end is not None and end.run == event.run:
            return "announced"
    types = (type(event), *FOLLOWERS.get(type(event), ()))
    events = [await _last_event(event, model, broker) for model in types]
    return status_of(run, [one for one in events if one is not None], now, patience)


def status_of(
    run: OpenRun, events: Sequence[LastEvent], now: datetime, patience: timedelta
) -> RunStatus:
    """Return how a run stands of which the broker holds `events`.

    Without any it is lost. If one waits, or is held no longer than its work may take, the run goes
    on. If all are done and no further stage was reached for the back-off, what should have followed
    is lost. The back-off doubles with each re-drive, so that a run that is stuck for another reason
    is not driven round and round.
    """
    if not events:
        return "lost"
    if any(one.state == "waiting" for one in events):
        return "moving"
    held_since = run.held_since or now
    if any(one.state == "held" for one in events) and now - held_since <= longest_work(run):
        return "held"
    latest = max(run.reached_at, *(one.sent for one in events))
    return "lost" if now - latest >= backoff(run.redrives, patience) else "moving"


def event_to_redrive(run: OpenRun) -> Event:
    """Return the event to send again: the announcement of an ended run, else of the latest stage.

    Channels are one stage: `recording.split` recovers a channel that was lost, and has the older
    of two channels from different engines made again.
    """
    return [event for event in run.events if not isinstance(event, ChannelTranscribed)][-1]


def longest_work(run: OpenRun) -> timedelta:
    """Return how long a consumer may hold a delivery of the run."""
    seconds = max(getattr(event, "duration", None) or 0.0 for event in run.events)
    return max(LEAST_WORK, WORK_FACTOR * timedelta(seconds=seconds))


def backoff(redrives: int, patience: timedelta) -> timedelta:
    """Return how long to wait for the next stage after that many `redrives`."""
    doubled: timedelta = patience * 2 ** min(redrives, 30)
    return min(doubled, max(patience, LONGEST_BACKOFF))


def redriven_envelope(run: OpenRun, now: datetime) -> Envelope[Event]:
    """Return the envelope of the run's next re-drive: in the run's trace, caused by itself."""
    event = event_to_redrive(run)
    redrive = run.redrives + 1
    if redrive == STUCK_REDRIVES:
        logger.warning("stuck", recording=str(event.recording), run=event.run, type=event.type)
    return Envelope(
        data=event,
        source="/pocwhisp/persist",
        time=now,
        causationid=event.event_id,
        traceparent=next_traceparent(run.traceparent),
        redrive=redrive,
    )


async def _last_event(event: Event, model: type[Event], broker: Broker) -> LastEvent | None:
    """Return the last event of type `model` about the event's run. Returns None if there is none.

    An event of a later run hides those of this one, which then count as held.
    """
    last = await broker.last_event(f"{model.type}.{event.tenant}.{event.recording}")
    if last is None or last.run < event.run:
        return None
    return last if last.run == event.run else replace(last, state="held")


def _type_to_redrive(run: OpenRun) -> str:
    return event_to_redrive(run).type
