"""The broker of one machine: its address, its login, its events on the disk, its health."""

import asyncio
import json
import os
import shutil
import signal
import stat
from dataclasses import replace
from pathlib import Path

import httpx
import nats as nats_py
from nats.errors import Error as NatsError

from infra.local.servers import Nats
from infra.local.supervisor import log
from infra.local.supervisor.process import Program
from infra.local.supervisor.supervisor import Supervisor
from tests.support.disks import disk
from tests.support.processes import Lines, within


def watched_closely(broker: Nats) -> Program:
    """The broker's process, asked for its health often."""
    broker.write_config()
    process = broker.process()
    assert process.liveness is not None
    return replace(process, liveness=replace(process.liveness, period=0.05, timeout=0.3))


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


def test_the_broker_has_the_same_address_at_the_next_start_if_its_port_is_free(
    tmp_path: Path,
) -> None:
    async def start() -> str:
        async with Supervisor(log.silent) as supervisor:
            broker = Nats(tmp_path)
            await broker.start(supervisor)
            assert Nats(tmp_path).port != broker.port
            return broker.url

    assert asyncio.run(start()) == asyncio.run(start())


def test_the_broker_lets_in_only_who_has_its_password(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Supervisor(log.silent) as supervisor:
            broker = Nats(tmp_path)
            await broker.start(supervisor)
            password = broker.url.split(":")[2].split("@")[0]
            assert b"-ERR 'Authorization Violation'" in await greeting(broker.port, {})
            guessed = {"user": "pocwhisp", "pass": "guessed"}
            assert b"-ERR 'Authorization Violation'" in await greeting(broker.port, guessed)
            right = {"user": "pocwhisp", "pass": password}
            assert b"PONG" in await greeting(broker.port, right)

    asyncio.run(scenario())


async def greeting(port: int, login: dict[str, str]) -> bytes:
    """What the broker answers to who connects with this login."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(f"CONNECT {json.dumps({'verbose': False, **login})}\r\nPING\r\n".encode())
    answer = await reader.readline()
    writer.close()
    return answer


def test_the_brokers_password_is_random_and_its_accounts_alone(tmp_path: Path) -> None:
    one, other = Nats(tmp_path / "one"), Nats(tmp_path / "other")
    assert one.url.split("@")[0] != other.url.split("@")[0]
    one.write_config()
    for name in ("nats.conf", "password"):
        assert stat.S_IMODE((tmp_path / "one" / name).stat().st_mode) == 0o600


def test_a_broker_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        lines = Lines()
        async with Supervisor(lines) as supervisor:
            await supervisor.start(watched_closely(Nats(tmp_path)))
            pid = supervisor.pids["nats"]
            os.kill(pid, signal.SIGSTOP)
            await supervisor.ready("nats", after=pid, deadline=10)
            assert lines.count("does not answer; killed") == 1

    asyncio.run(scenario())


async def is_stored(broker: Nats, event: bytes) -> bool:
    """Whether the broker takes an event into its stream."""

    async def ignore(_: Exception) -> None:
        """What fails is raised, too."""

    try:
        client = await nats_py.connect(broker.url, allow_reconnect=False, error_cb=ignore)
    except (NatsError, OSError):
        return False
    try:
        await client.jetstream(timeout=0.5).publish("calls", event)
    except (NatsError, OSError):
        return False
    finally:
        await client.close()
    return True


def test_a_broker_whose_disk_was_full_once_stores_again_without_anybodys_help(
    tmp_path: Path,
) -> None:
    async def scenario(small_disk: Path) -> None:
        async with Supervisor(log.silent) as supervisor:
            broker = Nats(small_disk / "nats")
            await supervisor.start(watched_closely(broker))
            client = await nats_py.connect(broker.url)
            await client.jetstream().add_stream(name="CALLS", subjects=["calls"])
            await client.close()
            filling, pid = small_disk / "filling", supervisor.pids["nats"]
            filling.write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
            assert not await is_stored(broker, bytes(200_000))
            assert not await is_stored(broker, b"x")
            assert supervisor.pids["nats"] == pid, "without room a new start helps nobody"
            filling.unlink()
            await within(10, lambda: is_stored(broker, b"x"))

    with disk(tmp_path / "disk", "size=16m") as small_disk:
        asyncio.run(scenario(small_disk))
