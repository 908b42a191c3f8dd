"""What the sweep looks after."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from events import Event, RecordingCompleted, RecordingFailed
from functions.persist.adapters import PostgresRecord
from functions.persist.record import Unannounced
from functions.persist.sweep_adapters import unfinished
from shared.errors import Unavailable
from shared.record.database import Database
from tests.support.examples import (
    RECORDING,
    parked,
    received,
    summarized,
)
from tests.support.records import (
    EARLY,
    LATE,
    accept,
    complete,
    on,
)

pytest_plugins = ["tests.support.databases"]


async def swept(database: Database, before: datetime = LATE, limit: int = 100) -> list[Unannounced]:
    async with unfinished(database) as runs:
        assert runs is not None
        return list(await runs.unannounced(before, limit))


def prepared(url: str, *recordings: UUID, end: Callable[[Database], Awaitable[object]]) -> None:
    """Accept the recordings and bring them to an end, as the app does."""

    async def work(database: Database) -> None:
        await accept(database, *recordings)
        await end(database)

    on(url, work)


async def nothing(_: Database) -> None:
    """Leave the run under way."""


def outcome(database: Database) -> Awaitable[object]:
    return PostgresRecord(database).fail(parked(), None)


EXPECTED: list[tuple[Callable[[Database], Awaitable[object]], Event]] = [
    (nothing, received()),
    (
        complete,
        RecordingCompleted(
            tenant="default",
            recording=RECORDING,
            run=1,
            transcript=summarized().transcript,
            summary=summarized().summary,
            request=received().request,
            duration=2.0,
            segments=2,
            degraded=("recognizer:sphinx", "summarizer:test"),
        ),
    ),
    (
        outcome,
        RecordingFailed(
            tenant="default",
            recording=RECORDING,
            run=1,
            function="transcribe",
            error_class="permanent",
            error_code="invalid_audio",
        ),
    ),
]


@pytest.mark.parametrize(("end", "event"), EXPECTED)
def test_the_sweep_gets_the_event_that_the_run_should_have_had(
    url: str, end: Callable[[Database], Awaitable[object]], event: Event
) -> None:
    async def work(database: Database) -> None:
        assert await swept(database) == [Unannounced(event, redrives=0)]  # type: ignore[arg-type]

    prepared(url, end=end)
    on(url, work, role="pocwhisp_system")


def test_a_run_is_left_alone_until_it_has_waited(url: str) -> None:
    async def work(database: Database) -> None:
        assert await swept(database, EARLY) == []
        assert len(await swept(database)) == 1
        just_now = datetime.now(UTC) - timedelta(minutes=1)
        assert await swept(database, just_now) == []

    prepared(url, end=nothing)
    on(url, work, role="pocwhisp_system")


def test_those_that_waited_longest_come_first(url: str) -> None:
    recordings = [UUID(int=number) for number in range(1, 6)]

    async def work(database: Database) -> None:
        looks = [{run.event.recording for run in await swept(database, limit=2)} for _ in range(3)]
        assert looks[:2] == [set(recordings[:2]), set(recordings[2:4])]
        assert recordings[4] in looks[2]

    prepared(url, *recordings, end=nothing)
    on(url, work, role="pocwhisp_system")


def test_a_second_sweep_at_the_same_time_has_nothing_to_do(url: str) -> None:
    async def work(database: Database) -> None:
        async with unfinished(database) as first, unfinished(database) as second:
            assert first is not None
            assert second is None
        async with unfinished(database) as third:
            assert third is not None

    on(url, work, role="pocwhisp_system")


def test_what_was_announced_is_not_looked_at_again(url: str) -> None:
    async def work(database: Database) -> None:
        async with unfinished(database) as runs:
            assert runs is not None
            (run,) = await runs.unannounced(LATE, 100)
            await runs.announced(run)
        assert await swept(database) == []

    prepared(url, end=complete)
    on(url, work, role="pocwhisp_system")


def test_redrives_are_counted_unless_the_sweep_fails(url: str) -> None:
    async def sweep(database: Database, error: Exception | None) -> None:
        async with unfinished(database) as runs:
            assert runs is not None
            (run,) = await runs.unannounced(LATE, 100)
            await runs.redriven(run)
            if error is not None:
                raise error

    async def work(database: Database) -> None:
        await sweep(database, None)
        with pytest.raises(Unavailable):
            await sweep(database, Unavailable("The broker is away."))
        assert [run.redrives for run in await swept(database)] == [1]

    prepared(url, end=nothing)
    on(url, work, role="pocwhisp_system")


def test_a_cancelled_run_is_left_alone(url: str) -> None:
    async def cancel(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute("UPDATE runs SET state = 'cancelled'")

    async def work(database: Database) -> None:
        assert await swept(database) == []

    prepared(url, end=cancel)
    on(url, work, role="pocwhisp_system")
