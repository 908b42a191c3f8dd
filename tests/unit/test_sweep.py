import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from events import Envelope, Event, RecordingCompleted, RecordingFailed, RecordingReceived
from functions.persist.record import Unannounced
from functions.persist.sweep import AT_ONCE, Swept, sweep_once
from shared.errors import Unavailable
from tests.support.examples import RECORDING, received

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
PATIENCE = timedelta(seconds=10)
RECEIVED = received()
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


@dataclass
class FakeUnfinished:
    """Gives these runs and remembers what it was told of them, in order."""

    runs: list[Unannounced]
    told: list[tuple[str, Event]] = field(default_factory=list)
    asked: tuple[datetime, int] | None = None

    async def unannounced(self, before: datetime, limit: int) -> Sequence[Unannounced]:
        self.asked = before, limit
        return self.runs

    async def announced(self, run: Unannounced) -> None:
        self.told.append(("announced", run.event))

    async def redriven(self, run: Unannounced) -> None:
        self.told.append(("redriven", run.event))


@dataclass
class FakeBroker:
    """Keeps the last event per subject, as a stream does."""

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    published: list[Envelope[Event]] = field(default_factory=list)
    away: bool = False

    async def publish(self, envelope: Envelope[Event]) -> None:
        if self.away:
            raise Unavailable("The broker is away.")
        self.published.append(envelope)
        self.kept[envelope.data.subject] = envelope.structured()

    async def last(self, subject: str) -> dict[str, Any] | None:
        return self.kept.get(subject)


def sweep(unfinished: FakeUnfinished, broker: FakeBroker) -> Swept:
    return asyncio.run(sweep_once(unfinished, broker, NOW, PATIENCE))


@pytest.mark.parametrize("event", [RECEIVED, COMPLETED, FAILED])
@pytest.mark.parametrize("redrives", [0, 4])
def test_an_event_that_the_broker_lacks_is_sent_under_the_next_number(
    event: RecordingReceived | RecordingCompleted | RecordingFailed, redrives: int
) -> None:
    unfinished, broker = FakeUnfinished([Unannounced(event, redrives)]), FakeBroker()
    assert sweep(unfinished, broker) == Swept(looked_at=1, redriven=1)
    (sent,) = broker.published
    assert sent.data == event
    assert sent.redrive == redrives + 1
    assert sent.message_id == f"{event.event_id}.{redrives + 1}"
    assert sent.time == NOW
    assert unfinished.told == [("redriven", event)]


def test_a_run_under_way_whose_event_is_there_is_left_alone() -> None:
    unfinished, broker = FakeUnfinished([Unannounced(RECEIVED, 0)]), FakeBroker()
    broker.kept[RECEIVED.subject] = {"id": RECEIVED.event_id}
    assert sweep(unfinished, broker) == Swept(looked_at=1, redriven=0)
    assert (broker.published, unfinished.told) == ([], [])


@pytest.mark.parametrize("event", [COMPLETED, FAILED])
def test_an_ended_run_whose_event_is_there_is_done_with(
    event: RecordingCompleted | RecordingFailed,
) -> None:
    unfinished, broker = FakeUnfinished([Unannounced(event, 0)]), FakeBroker()
    broker.kept[event.subject] = {"id": event.event_id}
    assert sweep(unfinished, broker) == Swept(looked_at=1, redriven=0)
    assert broker.published == []
    assert unfinished.told == [("announced", event)]


def test_another_event_on_the_subject_does_not_count() -> None:
    second_run = RECEIVED.model_copy(update={"run": 2})
    unfinished, broker = FakeUnfinished([Unannounced(second_run, 0)]), FakeBroker()
    broker.kept[RECEIVED.subject] = {"id": RECEIVED.event_id}
    assert sweep(unfinished, broker).redriven == 1


def test_what_was_sent_again_is_there_in_the_next_sweep() -> None:
    unfinished, broker = FakeUnfinished([Unannounced(COMPLETED, 0)]), FakeBroker()
    sweep(unfinished, broker)
    assert sweep(unfinished, broker) == Swept(looked_at=1, redriven=0)
    assert unfinished.told == [("redriven", COMPLETED), ("announced", COMPLETED)]


def test_only_the_missing_ones_of_many_are_sent() -> None:
    events = [received(UUID(int=number)) for number in range(1, 6)]
    unfinished = FakeUnfinished([Unannounced(event, 0) for event in events])
    broker = FakeBroker({event.subject: {"id": event.event_id} for event in events[::2]})
    assert sweep(unfinished, broker) == Swept(looked_at=5, redriven=2)
    assert [sent.data for sent in broker.published] == events[1::2]


def test_only_runs_that_waited_long_enough_are_looked_at() -> None:
    unfinished = FakeUnfinished([])
    assert sweep(unfinished, FakeBroker()) == Swept(looked_at=0, redriven=0)
    assert unfinished.asked == (NOW - PATIENCE, AT_ONCE)


def test_a_broker_that_goes_away_ends_the_sweep_with_an_error() -> None:
    unfinished, broker = FakeUnfinished([Unannounced(RECEIVED, 0)]), FakeBroker(away=True)
    with pytest.raises(Unavailable):
        sweep(unfinished, broker)
    assert unfinished.told == [("redriven", RECEIVED)]
