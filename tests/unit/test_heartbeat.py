"""Work that is watched: who is to blame when it does not end well."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from infra.dispatcher.heartbeat import HeartbeatTiming, Liveness, with_heartbeat
from infra.dispatcher.retry_policy import AttemptOutcome, FunctionAnswer, NoAnswer
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
QUICK = HeartbeatTiming(interval=0.001, probe=0.001, cap=60)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Watched:
    """Work that lasts until so many probes were answered, each with the next word of a script."""

    def __init__(self, *script: Liveness) -> None:
        self.script = list(script)
        self.probes = 0
        self.extensions = 0

    async def probe(self, _within: float) -> Liveness:
        self.probes += 1
        return self.script[min(self.probes, len(self.script)) - 1]

    async def extend(self) -> None:
        self.extensions += 1

    async def work(self, probes: int, outcome: AttemptOutcome) -> AttemptOutcome:
        await until(lambda: self.probes >= probes)
        return outcome

    async def watch(
        self, work: Coroutine[Any, Any, AttemptOutcome], timing: HeartbeatTiming = QUICK
    ) -> AttemptOutcome:
        return await with_heartbeat(work, timing, probe=self.probe, extend_ack_wait=self.extend)


async def endless() -> AttemptOutcome:
    await asyncio.Event().wait()
    raise AssertionError


async def test_the_ack_wait_is_extended_as_long_as_the_work_lasts() -> None:
    watched = Watched(Liveness.ALIVE)
    assert await watched.watch(watched.work(3, FunctionAnswer(204))) == FunctionAnswer(204)
    assert watched.extensions >= 3


async def test_two_silent_probes_in_a_row_end_the_work_as_an_outage() -> None:
    watched = Watched(Liveness.SILENT, Liveness.ALIVE, Liveness.SILENT, Liveness.SILENT)
    assert await watched.watch(endless()) is NoAnswer.SILENT
    assert (watched.probes, watched.extensions) == (4, 3)


async def test_a_function_that_drains_keeps_the_delivery_that_it_works_on() -> None:
    watched = Watched(Liveness.DRAINING)
    assert await watched.watch(watched.work(10, FunctionAnswer(204))) == FunctionAnswer(204)
    assert watched.extensions >= 10


@pytest.mark.parametrize(
    ("last", "blamed"),
    [
        (Liveness.ALIVE, NoAnswer.DIED),
        (Liveness.SILENT, NoAnswer.SILENT),
        (Liveness.DRAINING, NoAnswer.NOT_UP),
    ],
)
async def test_a_broken_connection_is_the_calls_fault_only_if_the_function_was_well(
    last: Liveness, blamed: NoAnswer
) -> None:
    watched = Watched(Liveness.ALIVE, last)
    assert await watched.watch(watched.work(2, NoAnswer.DIED)) is blamed


async def test_a_broken_connection_before_the_first_probe_is_the_calls_fault() -> None:
    watched = Watched(Liveness.SILENT)
    slowly = HeartbeatTiming(interval=60, probe=60, cap=60)
    assert await watched.watch(watched.work(0, NoAnswer.DIED), slowly) is NoAnswer.DIED


@pytest.mark.parametrize("outcome", [FunctionAnswer(500), FunctionAnswer(503), NoAnswer.NOT_UP])
async def test_any_other_outcome_is_what_it_is_after_a_silent_probe(
    outcome: AttemptOutcome,
) -> None:
    watched = Watched(Liveness.SILENT, Liveness.ALIVE)
    assert await watched.watch(watched.work(1, outcome)) is outcome


async def test_work_beyond_its_cap_is_abandoned_although_the_function_is_alive() -> None:
    watched, cancelled = Watched(Liveness.ALIVE), asyncio.Event()

    async def work() -> AttemptOutcome:
        try:
            return await endless()
        finally:
            cancelled.set()

    timing = HeartbeatTiming(interval=0.001, probe=0.001, cap=0.01)
    assert await watched.watch(work(), timing) is NoAnswer.TIMEOUT
    assert cancelled.is_set()


async def test_a_defect_of_the_work_is_not_hidden() -> None:
    async def broken() -> AttemptOutcome:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        await Watched(Liveness.ALIVE).watch(broken())


@pytest.mark.parametrize("ack_wait", [0.3, 1, 15, 30, 600])
def test_a_heartbeat_comes_well_before_the_ack_wait_is_over(ack_wait: float) -> None:
    timing = HeartbeatTiming.within(ack_wait, cap=600)
    assert timing.interval + timing.probe <= ack_wait * 2 / 3
    assert timing.interval * 3 == pytest.approx(ack_wait)
