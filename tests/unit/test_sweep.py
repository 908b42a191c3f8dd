"""The sweep on small fakes: what is lost, and what only takes its time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from events import (
    ChannelTranscribed,
    DeliveryParked,
    Envelope,
    Event,
    RecordingCompleted,
    RecordingFailed,
    RecordingReceived,
    RecordingSplit,
    TranscriptMerged,
    TranscriptSummarized,
)
from functions.persist.record import OpenRun
from functions.persist.sweep import (
    LONGEST_BACKOFF,
    RUNS_PER_SWEEP,
    STUCK_REDRIVES,
    DeliveryState,
    LastEvent,
    RunStatus,
    SweepReport,
    status_of,
    sweep_once,
)
from shared.errors import Unavailable
from tests.support.examples import RECORDING, merged, received, transcribed, was_split

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
PATIENCE = timedelta(seconds=10)
LONG_AGO = NOW - timedelta(hours=20)
JUST_NOW = NOW - timedelta(seconds=1)
TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"
COMPLETED = RecordingCompleted(
    tenant="default",
    recording=RECORDING,
    run=1,
    transcript="t",
    summary="s",
    request="r",
    duration=2.0,
    segments=2,
)
FAILED = RecordingFailed(
    tenant="default",
    recording=RECORDING,
    run=1,
    function="split",
    error_class="permanent",
    error_code="invalid_audio",
)
QUEUED = (received(),)
SPLIT = (received(), was_split())
ONE_CHANNEL = (*SPLIT, transcribed("left"))
BOTH_CHANNELS = (*ONE_CHANNEL, transcribed("right"))
MERGED = (*BOTH_CHANNELS, merged())


@dataclass
class FakeOpenRuns:
    """Gives these runs and keeps what was saved of them."""

    runs: Sequence[OpenRun]
    saved: list[OpenRun] = field(default_factory=list)
    claimed: tuple[datetime, int] | None = None

    async def claim(self, before: datetime, limit: int) -> Sequence[OpenRun]:
        self.claimed = before, limit
        return self.runs

    async def save(self, runs: Sequence[OpenRun]) -> None:
        self.saved += runs


@dataclass
class FakeBroker:
    """Keeps the last event per subject, as a stream does; it may refuse to store some types."""

    kept: dict[str, LastEvent] = field(default_factory=dict)
    published: list[Envelope[Event]] = field(default_factory=list)
    refuses: tuple[type[Event], ...] = ()

    async def publish(self, envelope: Envelope[Event]) -> None:
        if isinstance(envelope.data, self.refuses):
            raise Unavailable("The broker has no stream for it.")
        self.published.append(envelope)
        self.keep(type(envelope.data), "waiting", sent=NOW)

    async def last_event(self, subject: str) -> LastEvent | None:
        return self.kept.get(subject)

    def keep(
        self, model: type[Event], state: DeliveryState, sent: datetime = LONG_AGO, run: int = 1
    ) -> None:
        self.kept[f"{model.type}.default.{RECORDING}"] = LastEvent(run, sent, state)


def under_way(*events: Event, reached_at: datetime = LONG_AGO, redrives: int = 0) -> OpenRun:
    return OpenRun(events=events, reached_at=reached_at, redrives=redrives, traceparent=TRACE)


def over(event: Event) -> OpenRun:
    return OpenRun(events=(event,), reached_at=LONG_AGO, ended=type(event))


def sweep(
    broker: FakeBroker, *runs: OpenRun, now: datetime = NOW
) -> tuple[SweepReport, list[OpenRun]]:
    open_runs = FakeOpenRuns(runs)
    return asyncio.run(sweep_once(open_runs, broker, now, PATIENCE)), open_runs.saved


@pytest.mark.parametrize(
    ("events", "sent_again"),
    [
        (QUEUED, received()),
        (SPLIT, was_split()),
        (ONE_CHANNEL, was_split()),
        (BOTH_CHANNELS, was_split()),
        (MERGED, merged()),
    ],
)
@pytest.mark.parametrize("redrives", [0, 4])
def test_a_broker_that_forgot_everything_gets_the_event_of_the_latest_stage(
    events: tuple[Event, ...], sent_again: Event, redrives: int
) -> None:
    broker, run = FakeBroker(), under_way(*events, redrives=redrives)
    swept, saved = sweep(broker, run)
    assert swept == SweepReport(examined=1, redriven=1)
    assert [one.data for one in broker.published] == [sent_again]
    assert broker.published[0].redrive == redrives + 1
    assert saved == [replace(run, redrives=redrives + 1)]


NEXT: list[tuple[tuple[Event, ...], type[Event]]] = [
    (QUEUED, RecordingSplit),
    (SPLIT, ChannelTranscribed),
    (BOTH_CHANNELS, TranscriptMerged),
    (MERGED, TranscriptSummarized),
    (QUEUED, DeliveryParked),
    (SPLIT, DeliveryParked),
    (BOTH_CHANNELS, DeliveryParked),
    (MERGED, DeliveryParked),
]


@pytest.mark.parametrize(("events", "lost"), NEXT)
def test_an_event_that_should_follow_and_does_not_is_made_again(
    events: tuple[Event, ...], lost: type[Event]
) -> None:
    """Persist never had the lost one, so its cause is sent: done with, and nothing behind it."""
    broker = FakeBroker()
    for event in events:
        broker.keep(type(event), "done")
    assert sweep(broker, under_way(*events))[0].redriven == 1
    broker.keep(lost, "waiting")
    assert sweep(broker, under_way(*events))[0].redriven == 0


@pytest.mark.parametrize("events", [QUEUED, SPLIT, ONE_CHANNEL, BOTH_CHANNELS, MERGED])
@pytest.mark.parametrize("state", ["waiting", "held"])
def test_what_waits_in_a_queue_or_is_worked_on_is_left_alone(
    events: tuple[Event, ...], state: DeliveryState
) -> None:
    broker = FakeBroker()
    broker.keep(type(events[-1]), state)
    assert sweep(broker, under_way(*events))[0].redriven == 0
    assert broker.published == []


def held(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


STATUSES: list[tuple[OpenRun, list[LastEvent], RunStatus]] = [
    (under_way(*QUEUED), [], "lost"),
    (under_way(*QUEUED, reached_at=JUST_NOW), [], "lost"),
    (under_way(*SPLIT), [LastEvent(1, LONG_AGO, "done")], "lost"),
    (under_way(*SPLIT, reached_at=JUST_NOW), [LastEvent(1, LONG_AGO, "done")], "moving"),
    (under_way(*SPLIT), [LastEvent(1, JUST_NOW, "done")], "moving"),
    (under_way(*SPLIT), [LastEvent(1, LONG_AGO, "done"), LastEvent(1, JUST_NOW, "done")], "moving"),
    (under_way(*SPLIT), [LastEvent(1, LONG_AGO, "waiting")], "moving"),
    (
        under_way(*SPLIT),
        [LastEvent(1, LONG_AGO, "done"), LastEvent(1, LONG_AGO, "waiting")],
        "moving",
    ),
    (under_way(*SPLIT), [LastEvent(1, LONG_AGO, "held")], "held"),
    (replace(under_way(*SPLIT), held_since=held(0.1)), [LastEvent(1, LONG_AGO, "held")], "held"),
    (replace(under_way(*SPLIT), held_since=held(0.2)), [LastEvent(1, LONG_AGO, "held")], "lost"),
    (replace(under_way(*SPLIT), held_since=held(9)), [LastEvent(1, LONG_AGO, "waiting")], "moving"),
    (over(COMPLETED), [], "lost"),
]


@pytest.mark.parametrize(("run", "kept", "expected"), STATUSES)
def test_lost_is_told_from_slow(run: OpenRun, kept: list[LastEvent], expected: RunStatus) -> None:
    assert status_of(run, kept, NOW, PATIENCE) == expected


def test_a_long_recording_may_be_held_for_longer() -> None:
    an_hour = was_split().model_copy(update={"duration": 3600.0})
    run, kept = under_way(received(), an_hour), [LastEvent(1, LONG_AGO, "held")]
    assert status_of(replace(run, held_since=held(19)), kept, NOW, PATIENCE) == "held"
    assert status_of(replace(run, held_since=held(21)), kept, NOW, PATIENCE) == "lost"


def test_since_when_a_delivery_is_held_is_kept_until_it_is_not() -> None:
    broker, run = FakeBroker(), under_way(*SPLIT)
    broker.keep(RecordingSplit, "held")
    _, [saved] = sweep(broker, run)
    assert saved.held_since == NOW
    assert sweep(broker, saved, now=NOW + PATIENCE)[1] == []
    broker.keep(RecordingSplit, "waiting")
    assert sweep(broker, saved)[1] == [run]


@pytest.mark.parametrize(("redrives", "seconds"), [(0, 10), (1, 20), (3, 80), (60, 3600)])
def test_each_further_time_takes_twice_the_patience_and_an_hour_at_most(
    redrives: int, seconds: int
) -> None:
    for less, expected in [(1, "moving"), (0, "lost")]:
        reached_at = NOW - timedelta(seconds=seconds - less)
        run = under_way(*SPLIT, reached_at=reached_at, redrives=redrives)
        assert status_of(run, [LastEvent(1, LONG_AGO, "done")], NOW, PATIENCE) == expected
    assert timedelta(hours=1) == LONGEST_BACKOFF


def test_a_run_that_is_stuck_is_worth_one_line() -> None:
    with capture_logs() as lines:
        for redrives in range(2 * STUCK_REDRIVES):
            sweep(FakeBroker(), under_way(*SPLIT, redrives=redrives))
    [line] = lines
    assert (line["event"], line["log_level"]) == ("stuck", "warning")
    assert (line["recording"], line["type"]) == (str(RECORDING), RecordingSplit.type)


def test_an_event_that_is_sent_again_keeps_its_trace_and_names_what_it_stands_for() -> None:
    broker = FakeBroker()
    sweep(broker, under_way(*SPLIT))
    [sent] = broker.published
    assert sent.traceparent is not None
    assert sent.traceparent.split("-")[1] == TRACE.split("-")[1]
    assert sent.traceparent != TRACE
    assert sent.causationid == sent.id == was_split().event_id
    assert sent.attributes["correlationid"] == f"{RECORDING}/1"
    assert sent.time == NOW


@pytest.mark.parametrize("event", [COMPLETED, FAILED])
def test_the_news_of_an_end_is_sent_until_the_broker_has_it(event: Event) -> None:
    broker, run = FakeBroker(), over(event)
    swept, [saved] = sweep(broker, run)
    assert swept.redriven == 1
    assert [one.data for one in broker.published] == [event]
    swept, [announced] = sweep(broker, saved)
    assert (swept.redriven, announced.announced) == (0, True)


def test_an_end_whose_news_is_not_on_record_is_brought_back_by_its_latest_stage() -> None:
    """An older release kept no events with the stages."""
    broker, run = FakeBroker(), replace(under_way(*QUEUED), ended=RecordingCompleted)
    assert sweep(broker, run)[0].redriven == 1
    assert isinstance(broker.published[0].data, RecordingReceived)
    broker.keep(RecordingCompleted, "done")
    _, [saved] = sweep(broker, run)
    assert saved.announced


def test_an_event_of_an_earlier_run_does_not_count() -> None:
    broker, second = FakeBroker(), received().model_copy(update={"run": 2})
    broker.keep(RecordingReceived, "waiting", run=1)
    assert sweep(broker, under_way(second))[0].redriven == 1


def test_behind_an_event_of_a_later_run_one_of_this_may_be_held() -> None:
    broker = FakeBroker()
    broker.keep(RecordingReceived, "done", run=2)
    swept, [saved] = sweep(broker, under_way(*QUEUED))
    assert (swept.redriven, saved.held_since) == (0, NOW)
    broker.keep(RecordingCompleted, "done", run=2)
    assert not any(run.announced for run in sweep(broker, over(COMPLETED))[1])


def test_only_runs_that_waited_long_enough_are_looked_at() -> None:
    open_runs = FakeOpenRuns(())
    assert asyncio.run(sweep_once(open_runs, FakeBroker(), NOW, PATIENCE)) == SweepReport(0, 0)
    assert open_runs.claimed == (NOW - PATIENCE, RUNS_PER_SWEEP)


def test_a_type_that_the_broker_refuses_does_not_hold_up_the_others() -> None:
    others = [under_way(received(UUID(int=number))) for number in range(1, 4)]
    split = [under_way(*SPLIT)] * 3
    open_runs = FakeOpenRuns([*split, *others])
    broker = FakeBroker(refuses=(RecordingSplit,))
    with pytest.raises(Unavailable):
        asyncio.run(sweep_once(open_runs, broker, NOW, PATIENCE))
    assert [one.data for one in broker.published] == [run.events[0] for run in others]
    assert open_runs.saved == [replace(run, redrives=1) for run in others]


@dataclass
class BrokenBroker(FakeBroker):
    """Fails unexpectedly, or is cancelled, at the events of one recording."""

    broken: UUID = RECORDING
    error: BaseException = field(default_factory=lambda: ZeroDivisionError("no such thing"))

    async def publish(self, envelope: Envelope[Event]) -> None:
        if envelope.data.recording == self.broken:
            raise self.error
        await super().publish(envelope)


THREE = [under_way(received(UUID(int=number))) for number in (1, 2, 3)]


def test_an_unexpected_error_of_one_run_does_not_stop_the_sweep_of_the_others() -> None:
    open_runs = FakeOpenRuns(THREE)
    with capture_logs() as lines:
        sweeping = sweep_once(open_runs, BrokenBroker(broken=UUID(int=2)), NOW, PATIENCE)
        assert asyncio.run(sweeping) == SweepReport(examined=3, redriven=2)
    assert open_runs.saved == [replace(run, redrives=1) for run in (THREE[0], THREE[2])]
    assert [line["recording"] for line in lines] == [str(UUID(int=2))]


def test_a_sweep_that_is_cancelled_saves_what_it_has_sent() -> None:
    """Else the next one would send it under the same message id, which the broker drops."""
    open_runs = FakeOpenRuns(THREE)
    broker = BrokenBroker(broken=UUID(int=2), error=asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(sweep_once(open_runs, broker, NOW, PATIENCE))
    assert open_runs.saved == [replace(THREE[0], redrives=1)]
