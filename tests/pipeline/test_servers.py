import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import nats as nats_py
import psycopg
import pytest

from infra.deployments import DEPLOYMENTS, ROOT, Deployment, routes
from infra.local import postgres, servers
from infra.local.postgres import LONGEST_SOCKET, SOCKET, Postgres, socket_folder
from infra.local.servers import Given, Nats, blobs_url
from infra.local.state import is_alive
from infra.local.supervisor import log
from infra.local.supervisor.waiting import until
from infra.local.supervisor.supervisor import Supervisor
from shared.delivery import ROOM

OWNER = """
import asyncio, sys
from pathlib import Path
from infra.local.supervisor.log import silent
from infra.local.supervisor.supervisor import Supervisor
from infra.local.servers import Nats, Postgres

async def main(data):
    async with Supervisor(silent) as supervisor:
        await Nats(data / "nats").start(supervisor)
        await Postgres(data / "postgres").start(supervisor)
        print(*supervisor.pids.values(), flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture(autouse=True)
def _no_servers_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NATS_URL", "DATABASE_URL", "BLOBS_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose PostgreSQL cluster is made by the first test that starts it."""
    data = tmp_path_factory.mktemp("data")
    yield data / "postgres"
    postgres.remove(data / "postgres")


def test_an_event_the_broker_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    async def scenario() -> dict[str, object]:
        async with Supervisor(log.silent) as supervisor:
            broker = Nats(tmp_path)
            await broker.start(supervisor)
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"{broker.monitor_url}/varz")
            config: dict[str, object] = answer.json()["jetstream"]["config"]
            return config

    config = asyncio.run(scenario())
    assert config["sync_always"] is True
    assert config["store_dir"] == str(tmp_path / "jetstream")


def test_the_brokers_folder_may_have_any_name(tmp_path: Path) -> None:
    async def scenario(folder: Path) -> None:
        async with Supervisor(log.silent) as supervisor:
            await Nats(folder).start(supervisor)
        assert (folder / "jetstream").is_dir()

    asyncio.run(scenario(tmp_path / 'gespräche "alt" $x # 1'))


def test_a_killed_broker_comes_back_at_its_address_with_its_events(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            broker = Nats(tmp_path)
            await broker.start(supervisor)
            client = await nats_py.connect(broker.url)
            await client.jetstream().add_stream(name="CALLS", subjects=["calls"])
            await client.jetstream().publish("calls", b"kept")
            await client.close()
            pid = supervisor.pids["nats"]
            os.kill(pid, signal.SIGKILL)
            await supervisor.ready("nats", after=pid, deadline=10)
            client = await nats_py.connect(broker.url)
            assert (await client.jetstream().get_msg("CALLS", 1)).data == b"kept"
            await client.close()

    asyncio.run(scenario())


def test_the_broker_has_the_same_port_at_the_next_start_if_it_is_free(tmp_path: Path) -> None:
    async def start() -> str:
        async with Supervisor(log.silent) as supervisor:
            broker = Nats(tmp_path)
            await broker.start(supervisor)
            assert Nats(tmp_path).url != broker.url
            return broker.url

    assert asyncio.run(start()) == asyncio.run(start())


def test_the_database_is_made_once_and_keeps_what_it_was_given(cluster: Path) -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            database = Postgres(cluster)
            await database.start(supervisor)
            await run(database.url, "DROP TABLE IF EXISTS kept")
            await run(database.url, "CREATE TABLE kept AS SELECT 7 AS number")
        async with Supervisor(log.silent) as supervisor:
            await Postgres(cluster).start(supervisor)
            assert await run(database.url, "SELECT number FROM kept") == 7
            assert await run(database.url, "SHOW fsync") == "on"
            assert await run(database.url, "SHOW server_encoding") == "UTF8"

    asyncio.run(scenario())


def test_a_killed_database_comes_back_by_itself(cluster: Path) -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            database = Postgres(cluster)
            await database.start(supervisor)
            pid = supervisor.pids["postgres"]
            os.kill(pid, signal.SIGKILL)
            await supervisor.ready("postgres", after=pid, deadline=20)
            assert await run(database.url, "SELECT 1") == 1

    asyncio.run(scenario())


def test_the_database_stops_although_a_client_is_connected(cluster: Path) -> None:
    async def scenario() -> None:
        heard: list[str] = []
        async with Supervisor(lambda _, line: heard.append(line)) as supervisor:
            database = Postgres(cluster)
            await database.start(supervisor)
            connection = await psycopg.AsyncConnection.connect(database.url)
        await connection.close()
        assert "database system is shut down" in heard[-1]

    asyncio.run(scenario())


def test_the_servers_of_a_killed_owner_are_gone_and_start_again(cluster: Path) -> None:
    argv = [sys.executable, "-c", OWNER, str(cluster.parent)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        owner.kill()
    assert len(pids) == 2

    async def all_gone() -> bool:
        return not any(is_alive(pid) for pid in pids)

    async def scenario() -> None:
        async with asyncio.timeout(5):
            await until(all_gone)
        async with Supervisor(log.silent) as supervisor:
            database = Postgres(cluster)
            await Nats(cluster.parent / "nats").start(supervisor)
            await database.start(supervisor)
            assert await run(database.url, "SELECT 1") == 1

    asyncio.run(scenario())


def test_nobody_but_its_account_reaches_the_database(cluster: Path) -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            database = Postgres(cluster)
            await database.start(supervisor)
            assert await run(database.url, "SHOW listen_addresses") == ""

    asyncio.run(scenario())
    assert cluster.stat().st_mode & 0o077 == 0


def test_a_removed_cluster_is_gone_and_its_successor_is_another(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    first = postgres.home(folder)
    first.mkdir(parents=True)
    (first / "cluster").mkdir()
    postgres.remove(folder)
    assert not first.exists()
    assert not (postgres.home(folder) / "cluster").exists()


def test_a_socket_whose_path_would_be_too_long_lies_in_the_temporary_folder() -> None:
    short, long = Path("/srv/postgres"), Path("/srv") / ("x" * 100)
    assert socket_folder(short) == short
    assert socket_folder(long) == socket_folder(long) != socket_folder(long / "y")
    assert len(os.fsencode(socket_folder(long) / SOCKET)) <= LONGEST_SOCKET


def test_a_server_named_in_the_environment_is_used_and_none_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", "nats://broker:4222")
    monkeypatch.setenv("DATABASE_URL", "postgresql://database/calls")
    monkeypatch.setenv("BLOBS_URL", "s3://calls")

    async def scenario() -> None:
        given = [servers.nats(tmp_path / "nats"), servers.postgres(tmp_path / "postgres")]
        async with Supervisor(log.silent) as supervisor:
            for server in given:
                await server.start(supervisor)
            assert supervisor.pids == {}
        assert [server.url for server in given] == [
            "nats://broker:4222",
            "postgresql://database/calls",
        ]
        assert all(isinstance(server, Given) for server in given)

    asyncio.run(scenario())
    assert blobs_url(tmp_path) == "s3://calls"
    assert list(tmp_path.iterdir()) == []


def test_blobs_lie_in_the_folder_by_default(tmp_path: Path) -> None:
    assert blobs_url(tmp_path / "a b") == f"file://{tmp_path}/a%20b"


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
    assert sum(sent) <= ROOM * (deployment.concurrency or 0)


async def run(url: str, statement: str) -> object:
    """The first value of the first row, if there is one."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection:
        answer = await connection.execute(statement.encode())
        row = await answer.fetchone() if answer.description else None
    return row[0] if row else None
