"""What a stack runs: in which order, with what, and when it is asked."""

import asyncio
import signal
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from infra.deployments import DEPLOYMENTS, Deployment, routes
from infra.local import startup
from infra.local.errors import CannotStart
from infra.local.plan import DISPATCHER, FUNCTIONS, STORES, StackPlan
from infra.local.postgres import Postgres
from infra.local.servers import Nats
from infra.local.settings import SupervisionSettings, supervision_settings
from infra.local.supervisor.log import silent
from infra.local.supervisor.process import Program
from infra.local.supervisor.supervisor import Supervisor
from infra.local.supervisor.waiting import back_off
from shared.delivery import DELIVERIES_PER_SLOT
from tests.support.waiting import until

NEEDS_DATABASE = [it for it in DEPLOYMENTS if it.needs_database]
NEEDS_NONE = [it for it in DEPLOYMENTS if not it.needs_database]


def name_of(it: Deployment) -> str:
    return it.name


@pytest.fixture
def plan() -> StackPlan:
    return StackPlan(
        deployments=DEPLOYMENTS,
        # nobody listens there
        ports={"dispatcher": 99} | {it.name: number for number, it in enumerate(DEPLOYMENTS, 1)},
        nats_url="nats://pocwhisp:secret@127.0.0.1:4222",
        database_url="postgresql://here",
        blobs_url="file:///blobs",
        env={"WHISPER_MODEL": "tiny"},
        supervision=SupervisionSettings(),
    )


def test_the_dispatcher_stops_before_the_functions_and_they_before_the_stores(
    plan: StackPlan, tmp_path: Path
) -> None:
    stores = {Nats(tmp_path).process().layer, Postgres(tmp_path / "p").process(Path("p")).layer}
    functions = {plan.function(it).layer for it in DEPLOYMENTS}
    assert stores == {STORES}
    assert functions == {FUNCTIONS}
    assert plan.dispatcher().layer == DISPATCHER
    assert STORES < FUNCTIONS < DISPATCHER


class Started(Supervisor):
    """Notes what is started, and when it may be probed; nothing runs."""

    def __init__(self) -> None:
        super().__init__(silent)
        self.limits: dict[str, float] = {}
        self.probed: set[str] = set()

    async def start(
        self, process: Program, *, after: asyncio.Event | None = None, deadline: float = 0
    ) -> None:
        self.limits[process.name] = deadline
        if after is not None:
            await after.wait()
        self.probed.add(process.name)


class Store:
    """A store that is up once `up` is set."""

    url = "store://here"

    def __init__(self) -> None:
        self.up = asyncio.Event()

    async def start(self, _: Supervisor) -> None:
        await self.up.wait()


def test_functions_start_at_once_but_are_probed_only_when_their_stores_are_up(
    plan: StackPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "migrate_record", lambda _: None)
    supervision = SupervisionSettings(start_limit=77)

    async def scenario() -> None:
        started, broker, database = Started(), Store(), Store()
        starting = asyncio.create_task(
            startup.start_all(started, replace(plan, supervision=supervision), broker, database)
        )
        await until(lambda: len(started.limits) == len(DEPLOYMENTS))
        assert set(started.limits.values()) == {77}
        assert started.probed == set()
        broker.up.set()
        await until(lambda: started.probed == {"dispatcher", *map(name_of, NEEDS_NONE)})
        database.up.set()
        await starting
        assert started.probed == {"dispatcher", *map(name_of, DEPLOYMENTS)}

    asyncio.run(scenario())


def test_every_process_is_asked_whether_it_hangs(plan: StackPlan, tmp_path: Path) -> None:
    stores = [Nats(tmp_path).process(), Postgres(tmp_path / "p").process(Path("p"))]
    functions = [plan.function(it) for it in DEPLOYMENTS]
    for process in [*stores, *functions, plan.dispatcher()]:
        assert process.liveness is not None, process.name
        assert process.liveness.failure_threshold >= 2


def test_a_function_may_be_silent_for_as_long_as_the_user_sets(
    plan: StackPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALIVE_LIMIT", "77")
    monkeypatch.setenv("START_LIMIT", "88")
    supervision = supervision_settings()
    liveness = replace(plan, supervision=supervision).function(DEPLOYMENTS[0]).liveness
    assert liveness is not None
    assert (liveness.timeout, liveness.startup_limit) == (77.0, 2 * 88.0)
    monkeypatch.setenv("ALIVE_LIMIT", "-1")
    with pytest.raises(CannotStart, match=r"^ALIVE_LIMIT is '-1'\. Input should be greater than 0"):
        supervision_settings()


def test_functions_get_the_stores_their_limits_and_the_users_settings(plan: StackPlan) -> None:
    env = plan.function(DEPLOYMENTS[1]).env
    assert env["NATS_URL"] == "nats://pocwhisp:secret@127.0.0.1:4222"
    assert env["WHISPER_MODEL"] == "tiny"
    assert env["CONCURRENCY"] == str(DEPLOYMENTS[1].concurrency)


def test_transcribe_has_few_arenas_of_memory(plan: StackPlan) -> None:
    [transcribe] = [it for it in DEPLOYMENTS if it.name == "transcribe"]
    assert plan.function(transcribe).env["MALLOC_ARENA_MAX"] == "2"


def test_the_database_is_stopped_in_good_order_and_without_waiting_for_clients(
    tmp_path: Path,
) -> None:
    process = Postgres(tmp_path / "postgres").process(Path("postgres"))
    assert process.stop_signal == signal.SIGINT


def test_a_first_start_of_the_database_is_tried_for_ten_seconds(tmp_path: Path) -> None:
    process = Postgres(tmp_path / "postgres").process(Path("postgres"))
    assert sum(islice(back_off(), process.tries - 1)) >= 10


def test_an_event_the_broker_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    Nats(tmp_path).write_config()
    assert "sync_interval: always" in (tmp_path / "nats.conf").read_text()


def test_every_event_a_function_accepts_has_a_route_to_each_of_its_deployments() -> None:
    ports = {deployment.name: 4000 + n for n, deployment in enumerate(DEPLOYMENTS)}
    found = routes(ports)
    split = {
        (route["function"], route["url"])
        for route in found
        if route["type"] == "io.pocwhisp.recording.split.v1"
    }
    assert split == {
        (name, f"http://127.0.0.1:{ports[name]}/") for name in ("transcribe", "persist")
    }
    assert {route["function"] for route in found} == set(ports) - {"ingest", "sweep"}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment.name)
def test_all_that_is_in_flight_to_a_function_finds_room_there(deployment: Deployment) -> None:
    sent = [route["in_flight"] for route in routes({deployment.name: 4000}, [deployment])]
    assert all(in_flight >= 1 for in_flight in sent)
    assert sum(sent) <= DELIVERIES_PER_SLOT * (deployment.concurrency or 0)
