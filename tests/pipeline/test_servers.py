"""The database of one machine, and the servers that somebody else runs."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from infra.local import postgres, servers
from infra.local.postgres import Postgres
from infra.local.servers import ExternalServer, Nats, blobs_url
from infra.local.supervisor import log
from infra.local.supervisor.supervisor import Supervisor
from tests.support.processes import Lines, gone, python, with_mark

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
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose cluster is made by the first test that starts it."""
    folder = tmp_path_factory.mktemp("data") / "postgres"
    yield folder
    postgres.remove(folder)


@pytest.fixture
def cluster(shared_cluster: Path) -> Iterator[Path]:
    """The folder, in which no process works before a test or after it, even one that failed."""
    yield shared_cluster
    if cluster_home := postgres.find_home(shared_cluster):
        pids = with_mark(str(cluster_home))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        asyncio.run(gone(*pids))


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


def test_a_database_that_hangs_is_killed_and_comes_back(cluster: Path) -> None:
    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            database = Postgres(cluster)
            process = database.process(database.prepare() / "postgres")
            assert process.liveness is not None
            liveness = replace(process.liveness, period=0.05, timeout=0.3)
            await supervisor.start(replace(process, liveness=liveness))
            pid = supervisor.pids["postgres"]
            os.kill(pid, signal.SIGSTOP)
            await supervisor.ready("postgres", after=pid, deadline=20)
            assert await run(database.url, "SELECT 1") == 1
            assert lines.count("does not answer; killed") == 1

    asyncio.run(scenario())


def test_the_database_stops_in_good_order_although_a_client_is_connected(cluster: Path) -> None:
    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            database = Postgres(cluster)
            await database.start(supervisor)
            connection = await psycopg.AsyncConnection.connect(database.url)
        await connection.close()
        assert "database system is shut down" in lines[-1][1]
        async with Supervisor(lines) as supervisor:
            await Postgres(cluster).start(supervisor)
        assert lines.count("automatic recovery in progress") == 0

    asyncio.run(scenario())


def test_the_servers_of_a_killed_owner_are_gone_and_start_again(cluster: Path) -> None:
    with python(OWNER, cluster.parent) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(pids) == 2

    async def scenario() -> None:
        await gone(*pids)
        async with Supervisor(log.silent) as supervisor:
            database = Postgres(cluster)
            await Nats(cluster.parent / "nats").start(supervisor)
            await database.start(supervisor)
            assert await run(database.url, "SELECT 1") == 1

    asyncio.run(scenario())


def test_nobody_but_its_account_reaches_the_database(cluster: Path) -> None:
    async def scenario() -> str:
        async with Supervisor(log.silent) as supervisor:
            database = Postgres(cluster)
            await database.start(supervisor)
            assert await run(database.url, "SHOW listen_addresses") == ""
            assert database.home.stat().st_mode & 0o077 == 0
            if os.geteuid() != 0:
                return "Permission denied"  # there is no other account to try it with
            return await asyncio.to_thread(refusal, database.url)

    assert "Permission denied" in asyncio.run(scenario())


def refusal(url: str) -> str:
    """What the account nobody is told when it connects."""
    script = f"import os, psycopg; os.setgid(65534); os.setuid(65534); psycopg.connect({url!r})"
    argv = [sys.executable, "-c", script]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stderr


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
        assert all(isinstance(server, ExternalServer) for server in given)

    asyncio.run(scenario())
    assert blobs_url(tmp_path) == "s3://calls"
    assert list(tmp_path.iterdir()) == []


def test_blobs_lie_in_the_folder_by_default(tmp_path: Path) -> None:
    assert blobs_url(tmp_path / "a b") == f"file://{tmp_path}/a%20b"


async def run(url: str, statement: str) -> object:
    """The first value of the first row, if there is one."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection:
        answer = await connection.execute(statement.encode())
        row = await answer.fetchone() if answer.description else None
    return row[0] if row else None
