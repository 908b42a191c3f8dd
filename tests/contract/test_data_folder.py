"""What a stack keeps in its data folder, what it refuses there, and its ports."""

import asyncio
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.deployments import ROOT
from infra.local import ports, postgres
from infra.local.ports import claim, free_ports
from infra.local.stack import Stack, delete_stack
from infra.local.state import StackInfo, lock, lock_at_once, running_stack, write_state
from infra.local.supervisor import log
from infra.local.supervisor.supervisor import CannotStart
from tests.support.disks import disk


def page(pid: int, started_at: datetime) -> StackInfo:
    return StackInfo(
        pid=pid,
        url="http://127.0.0.1:8080",
        started_at=started_at,
        nats_url="nats://127.0.0.1:4222",
        processes={"merge": 7},
    )


def test_a_stack_is_found_only_while_its_process_lives(tmp_path: Path) -> None:
    assert running_stack(tmp_path) is None
    alive = page(os.getpid(), datetime.now(UTC))
    write_state(tmp_path, alive)
    assert running_stack(tmp_path) == alive
    write_state(tmp_path, page(os.getpid(), datetime(2020, 1, 1, tzinfo=UTC)))
    assert running_stack(tmp_path) is None, "its pid was given to another process since"
    (tmp_path / "stack.json").write_text("{")
    assert running_stack(tmp_path) is None


def test_where_the_stack_is_can_be_read_by_its_account_alone_from_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []

    def replace(source: str, to: Path) -> None:
        modes.append(stat.S_IMODE(Path(source).stat().st_mode))
        Path(source).rename(to)

    umask = os.umask(0)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "chmod", lambda *_: pytest.fail("it was open to others before"))
    try:
        write_state(tmp_path, page(os.getpid(), datetime.now(UTC)))
    finally:
        os.umask(umask)
    assert modes == [0o600]
    assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600


def test_a_link_in_the_data_folder_is_replaced_or_refused_and_never_followed(
    tmp_path: Path,
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    data = tmp_path / "data"
    data.mkdir()
    for name in ("stack.json", "stack.lock"):
        (data / name).symlink_to(precious)
    write_state(data, page(os.getpid(), datetime.now(UTC)))
    with pytest.raises(CannotStart, match=r"stack\.lock"), lock_at_once(data):
        pass
    assert precious.read_text() == "kept"


async def enter(data: Path, port: int = 0) -> None:
    async with Stack(data, port=port, sink=log.silent):
        raise AssertionError("it should not have started")


def a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file"


def below_a_file(folder: Path) -> Path:
    return a_file(folder) / "data"


def where_no_folder_can_be(_: Path) -> Path:
    return Path("/proc/pocwhisp")


@pytest.mark.parametrize("place", [a_file, below_a_file, where_no_folder_can_be])
def test_a_data_folder_that_cannot_be_made_is_told_in_one_sentence(
    tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    data = place(tmp_path)
    with pytest.raises(CannotStart) as refused:
        asyncio.run(enter(data))
    sentence = str(refused.value)
    assert sentence.startswith("The stack cannot use ")
    assert "--data" in sentence
    assert "\n" not in sentence


def test_a_disk_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    with (
        disk(tmp_path / "disk", "ro,size=1m") as place,
        pytest.raises(CannotStart, match=r"^The stack cannot use .*Read-only file system.*--data"),
    ):
        asyncio.run(enter(place))


def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=4k") as place:
        (place / "filling").write_bytes(bytes(4096))
        with pytest.raises(CannotStart, match=r"^The stack cannot use .*No space left.*--data"):
            asyncio.run(enter(place))


def test_waiting_for_the_processes_of_a_killed_stack_can_be_cancelled(tmp_path: Path) -> None:
    async def take() -> None:
        async with lock(tmp_path):
            pass

    async def scenario() -> None:
        taking = asyncio.create_task(take())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not taking.done()
        taking.cancel()
        await asyncio.wait({taking}, timeout=1)
        assert taking.cancelled()

    with lock_at_once(tmp_path):
        (tmp_path / "stack.lock").write_text("{}")  # its holder is unknown: it may be leaving
        asyncio.run(scenario())


def test_a_deleted_stack_leaves_only_what_was_not_its_own(tmp_path: Path) -> None:
    data = tmp_path / "data"
    kept = ["nats/jetstream/a", "blobs/default/b", "stack.log", "stack.log.1", "evaluate.log"]
    for name in [*kept, "mine.log"]:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).touch()
    write_state(data, page(os.getpid(), datetime.now(UTC)))
    cluster = cluster_of(data)
    delete_stack(data)
    assert [path.name for path in data.iterdir()] == ["mine.log"]
    assert not cluster.exists()
    (data / "mine.log").unlink()
    delete_stack(data)
    assert not data.exists()
    delete_stack(data)


def cluster_of(data: Path) -> Path:
    """Make the folders of a database, as its start does."""
    database = postgres.Postgres(data / "postgres")
    database.prepare()
    return database.home


def test_a_running_stack_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    with lock_at_once(tmp_path), pytest.raises(CannotStart, match="already"):
        delete_stack(tmp_path)
    assert (tmp_path / "blobs").exists()


def test_a_port_in_use_is_told_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"Port {port} is in use by .*{os.getpid()}.*--port"):
            claim(port)


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_number_that_is_no_port_is_told_with_those_that_are(tmp_path: Path, port: int) -> None:
    with pytest.raises(CannotStart, match=rf"^{port} is no port; allowed: 1 to 65535, or 0"):
        asyncio.run(enter(tmp_path, port))


WITHOUT_RIGHTS = """
import os, socket, sys
from infra.local.ports import claim
from infra.local.supervisor.child import CannotStart
if os.geteuid() == 0:
    os.setuid(65534)
try:
    claim(80)
except CannotStart as error:
    print(error)
"""


@pytest.mark.skipif(
    ports.PRIVILEGED.exists() and int(ports.PRIVILEGED.read_text()) <= 80,
    reason="Every account may listen on port 80 here: sysctl net.ipv4.ip_unprivileged_port_start.",
)
def test_a_port_that_needs_rights_is_told_so() -> None:
    argv = [sys.executable, "-c", WITHOUT_RIGHTS]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Port 80 needs rights that this account lacks; choose one from")


def test_free_ports_are_never_given_twice() -> None:
    found = [port for _ in range(50) for port in free_ports(8)]
    assert len(set(found)) == len(found)


def test_no_outgoing_connection_can_take_a_functions_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outgoing = tmp_path / "ip_local_port_range"
    outgoing.write_text("30000\t64000\n")
    monkeypatch.setattr(ports, "EPHEMERAL", outgoing)
    assert all(not 30000 <= port <= 64000 for port in free_ports(200))


def test_where_all_ports_are_for_outgoing_connections_one_of_these_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outgoing = tmp_path / "ip_local_port_range"
    outgoing.write_text("1024\t65535\n")
    monkeypatch.setattr(ports, "EPHEMERAL", outgoing)
    assert 1024 <= free_ports(1)[0] <= 65535
