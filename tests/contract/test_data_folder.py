"""What a stack keeps in its data folder, what it refuses there, and its ports."""

import asyncio
import errno
import os
import shutil
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
from infra.local.errors import CannotStart
from infra.local.ports import choose_port, free_ports
from infra.local.postgres import LONGEST_SOCKET, SOCKET, socket_folder
from infra.local.stack import Stack, delete_stack
from infra.local.state import (
    StackState,
    lock,
    lock_at_once,
    running_stack,
    unready_stack,
    write_state,
)
from infra.local.supervisor import log
from infra.local.supervisor.supervisor import Supervisor
from tests.support.disks import disk


def page(pid: int, started_at: datetime) -> StackState:
    return StackState(
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


@pytest.fixture
def roots_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of root's clusters, whoever runs the test."""
    place = tmp_path / "lib"
    place.mkdir()
    monkeypatch.setattr(postgres, "ROOTS_HOME", place)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return place


OUTSIDE = [
    "../victim",
    "/etc",
    "lib/../victim",
    "lib/0123456789ab/../../victim",
    "lib",
    "lib/other",
]


@pytest.mark.parametrize("target", OUTSIDE)
def test_a_link_that_leads_anywhere_but_to_one_of_roots_databases_is_refused(
    tmp_path: Path, roots_home: Path, target: str
) -> None:
    folder = tmp_path / "postgres"
    folder.symlink_to(tmp_path / target)
    with pytest.raises(CannotStart, match=f"names no database.*{roots_home}"):
        postgres.find_home(folder)
    with pytest.raises(CannotStart, match="names no database"):
        postgres.Postgres(folder)
    with pytest.raises(CannotStart, match="names no database"):
        postgres.remove(folder)


@pytest.mark.parametrize("name", ["", "..", "../../etc", "0123456789ab/..", "/etc", "0123456789AB"])
def test_a_name_that_is_none_of_roots_databases_is_refused(
    tmp_path: Path, roots_home: Path, name: str
) -> None:
    (tmp_path / "postgres").write_text(name)
    with pytest.raises(CannotStart, match=f"names no database.*{roots_home}"):
        postgres.find_home(tmp_path / "postgres")


def test_the_name_of_roots_database_is_read_from_a_file_or_an_older_link(
    tmp_path: Path, roots_home: Path
) -> None:
    (tmp_path / "file").write_text("0123456789ab\n")
    (tmp_path / "link").symlink_to(roots_home / "0123456789ab")
    assert postgres.find_home(tmp_path / "file") == roots_home / "0123456789ab"
    assert postgres.find_home(tmp_path / "link") == roots_home / "0123456789ab"
    assert postgres.find_home(tmp_path / "nothing") is None


def test_asking_for_a_database_makes_nothing_before_it_starts(
    tmp_path: Path, roots_home: Path
) -> None:
    postgres.Postgres(tmp_path / "data" / "postgres")
    assert list(roots_home.iterdir()) == []
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root's databases have a name: run it as root.")
def test_a_link_of_an_older_version_becomes_a_file_when_the_database_starts(
    tmp_path: Path,
) -> None:
    folder, place = tmp_path / "postgres", postgres.ROOTS_HOME / "0123456789ab"
    folder.symlink_to(place)
    try:
        postgres.Postgres(folder).prepare()
        assert not folder.is_symlink()
        assert folder.read_text() == "0123456789ab\n"
        assert place.stat().st_uid != 0
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    finally:
        postgres.remove(folder)
    assert not place.exists()


def test_a_removed_cluster_is_gone_and_its_successor_is_another(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = cluster_of(data)
    (first / "cluster").mkdir()
    postgres.remove(data / "postgres")
    assert not first.exists()
    assert not (cluster_of(data) / "cluster").exists()
    postgres.remove(data / "postgres")


def test_a_cluster_is_reached_by_its_account_alone(tmp_path: Path) -> None:
    place = cluster_of(tmp_path)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    postgres.remove(tmp_path / "postgres")


def test_a_copy_that_fails_leaves_nothing_and_the_next_one_is_whole(tmp_path: Path) -> None:
    source, to = tmp_path / "source", tmp_path / "to"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "program").touch(mode=0o700)
    (source / "broken").symlink_to("nowhere")
    os.mkfifo(source / "pipe")
    with pytest.raises(shutil.Error):
        postgres.copy_for_all(source, to)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["source"]
    (source / "pipe").unlink()
    (tmp_path / "to.unfinished").mkdir()
    postgres.copy_for_all(source, to)
    assert stat.S_IMODE((to / "bin" / "program").stat().st_mode) == 0o755
    assert not (tmp_path / "to.unfinished").exists()


def test_a_socket_whose_path_would_be_too_long_lies_in_the_temporary_folder() -> None:
    short, long = Path("/srv/postgres"), Path("/srv") / ("x" * 100)
    assert socket_folder(short) == short
    assert socket_folder(long) == socket_folder(long) != socket_folder(long / "y")
    assert len(os.fsencode(socket_folder(long) / SOCKET)) <= LONGEST_SOCKET


def test_a_running_stack_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    with lock_at_once(tmp_path), pytest.raises(CannotStart, match="already"):
        delete_stack(tmp_path)
    assert (tmp_path / "blobs").exists()


def test_a_port_in_use_is_told_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"Port {port} is in use by .*{os.getpid()}.*--port"):
            choose_port(port)


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_number_that_is_no_port_is_told_with_those_that_are(tmp_path: Path, port: int) -> None:
    with pytest.raises(CannotStart, match=rf"^{port} is no port; allowed: 1 to 65535, or 0"):
        asyncio.run(enter(tmp_path, port))


WITHOUT_RIGHTS = """
import os, socket, sys
from infra.local.ports import choose_port
from infra.local.errors import CannotStart
if os.geteuid() == 0:
    os.setuid(65534)
try:
    choose_port(80)
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


@pytest.mark.anyio
async def test_a_stack_that_holds_the_folder_without_being_ready_is_found(tmp_path: Path) -> None:
    assert unready_stack(tmp_path / "nowhere") is None
    async with lock(tmp_path):
        assert running_stack(tmp_path) is None
        assert unready_stack(tmp_path) == os.getpid()
    assert unready_stack(tmp_path) is None


@pytest.mark.anyio
async def test_a_pid_in_the_lock_that_was_given_to_another_process_since_is_not_believed(
    tmp_path: Path,
) -> None:
    async with lock(tmp_path):
        os.utime(tmp_path / "stack.lock", (0, 0))
        assert unready_stack(tmp_path) is None


@pytest.mark.parametrize(
    ("error", "is_told_of_the_folder"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (PermissionError(errno.EACCES, "Permission denied", "{data}/nats/port"), True),
        (OSError(errno.EMFILE, "Too many open files"), False),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), False),
        (FileNotFoundError(errno.ENOENT, "No such file", "/usr/bin/nats-server"), False),
    ],
)
@pytest.mark.anyio
async def test_only_what_is_wrong_with_the_folder_is_told_of_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    is_told_of_the_folder: bool,  # noqa: FBT001 - it is a parameter of the test
) -> None:
    if error.filename:
        error.filename = error.filename.format(data=tmp_path)

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("infra.local.stack.start_all", fail)
    with pytest.raises(CannotStart if is_told_of_the_folder else type(error)) as raised:
        await enter(tmp_path)
    assert ("need a folder" in str(raised.value)) is is_told_of_the_folder


def test_a_database_that_cannot_be_wholly_deleted_is_told_and_can_still_be_found(
    tmp_path: Path, roots_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a backend that has not ended yet still writes a file."""
    (tmp_path / "postgres").write_text("0123456789ab")
    (roots_home / "0123456789ab" / "cluster").mkdir(parents=True)

    def rmdir(path: str, **_: object) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", rmdir)
        with pytest.raises(CannotStart, match=r"not wholly deleted: .*Directory not empty"):
            postgres.remove(tmp_path / "postgres")
    assert postgres.find_home(tmp_path / "postgres") == roots_home / "0123456789ab"
    postgres.remove(tmp_path / "postgres")
    assert list(roots_home.iterdir()) == []
    assert not (tmp_path / "postgres").exists()


@pytest.mark.anyio
async def test_a_database_that_refuses_the_first_connection_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = postgres.Postgres(tmp_path / "postgres")
    (database.home / "cluster").mkdir(parents=True)
    monkeypatch.setattr(Supervisor, "start", lambda *_, **__: asyncio.sleep(0))
    monkeypatch.setattr(database, "prepare", lambda: tmp_path)
    try:
        with pytest.raises(CannotStart, match=r"^The database cannot be used: "):
            await database.start(Supervisor(log.silent))
    finally:
        shutil.rmtree(database.home)
