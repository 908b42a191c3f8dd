"""The whole of PocWhisp on one machine: broker, database, functions and dispatcher."""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Self

from infra.deployments import DEPLOYMENTS, Deployment, local_url
from infra.local import postgres as own_postgres
from infra.local.plan import DISPATCHER_NAME, StackPlan
from infra.local.ports import choose_port, free_ports
from infra.local.servers import ExternalServer, blobs_url, nats, postgres
from infra.local.settings import supervision_settings
from infra.local.startup import start_all
from infra.local.state import (
    LOCK_FILE,
    STATE_FILE,
    StackState,
    cannot_use,
    is_of_folder,
    lock,
    lock_at_once,
    remove_state,
    write_state,
)
from infra.local.supervisor.log import Sink
from infra.local.supervisor.supervisor import Supervisor

LOGS = ("stack.log*", "evaluate.log*")
KEPT = ("nats", "blobs", LOCK_FILE, STATE_FILE, f".{STATE_FILE}-*", *LOGS)
"""Names in the data folder that belong to a stack, besides its database."""


class Stack:
    """All processes of PocWhisp, which run while the context `async with Stack(data)` lasts.

    The folder `data` holds everything that the stack keeps, and at most one stack. Ingest listens
    on `port`, 0 for any. `sink` gets the log, line by line. `env` is added to the environment of
    functions and dispatcher. `NATS_URL`, `DATABASE_URL` and `BLOBS_URL`, if set, name servers to
    use instead of its own. Entering raises `CannotStart`, or `OSError` if the machine has no room
    for it; on leaving, no process is left.
    """

    def __init__(
        self,
        data: Path,
        port: int = 8080,
        sink: Sink | None = None,
        *,
        env: Mapping[str, str] = MappingProxyType({}),
        deployments: Sequence[Deployment] = DEPLOYMENTS,
    ) -> None:
        self.data = data.absolute()
        self._port = port
        self._sink = sink
        self._env = env
        self._deployments = deployments
        self._started_at: datetime | None = None

    async def __aenter__(self) -> Self:
        try:
            return await self._open()
        except OSError as error:
            if not is_of_folder(self.data, error):
                raise
            raise cannot_use(self.data, error) from error

    async def _open(self) -> Self:
        async with AsyncExitStack() as opening:
            lock_fd = await opening.enter_async_context(lock(self.data))
            await asyncio.to_thread(self._choose_addresses)
            self.supervisor = await opening.enter_async_context(
                Supervisor(self._sink, changed=self._write_state, inherited_fds=[lock_fd])
            )
            opening.callback(self._remove_state)
            await self._start()
            self._started_at = datetime.now(UTC)
            self._write_state()
            self._closing = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()

    @property
    def url(self) -> str:
        """Where ingest listens, without a slash at the end."""
        return local_url(self.port_of("ingest"), "")

    @property
    def processes(self) -> dict[str, int]:
        """The present pids by name, without those of processes that are being restarted."""
        return self.supervisor.pids

    def port_of(self, name: str) -> int:
        """The port of a function, the same through all its restarts."""
        return self._plan.ports[name]

    def _choose_addresses(self) -> None:
        """Choose ports and store URLs."""
        ports = {"ingest": choose_port(self._port)}
        names = (*(deployment.name for deployment in self._deployments), DISPATCHER_NAME)
        others = [name for name in names if name not in ports]
        self._nats = nats(self.data / "nats")
        self._postgres = postgres(self.data / "postgres")
        self.blobs_url = blobs_url(self.data / "blobs")
        self._plan = StackPlan(
            deployments=self._deployments,
            ports=ports | dict(zip(others, free_ports(len(others)), strict=True)),
            nats_url=self._nats.url,
            database_url=self._postgres.url,
            blobs_url=self.blobs_url,
            env=self._env,
            supervision=supervision_settings(),
        )

    async def _start(self) -> None:
        await start_all(self.supervisor, self._plan, self._nats, self._postgres)

    def _write_state(self) -> None:
        if self._started_at is not None:
            with suppress(OSError):  # a full disk must not end what runs
                write_state(self.data, self._state(self._started_at))

    def _remove_state(self) -> None:
        self._started_at = None
        remove_state(self.data)

    def _state(self, started_at: datetime) -> StackState:
        is_own = not isinstance(self._postgres, ExternalServer)
        return StackState(
            pid=os.getpid(),
            url=self.url,
            started_at=started_at,
            nats_url=self._nats.url,
            database_url=self._postgres.url if is_own else None,
            processes=self.processes,
        )


def delete_stack(data: Path) -> None:
    """Delete all that a stack keeps in the data folder, and root's database, which lies elsewhere.

    Other files there stay, and so does their folder. Raises `CannotStart` if a stack runs there.
    """
    if not data.is_dir():
        return
    with lock_at_once(data):
        own_postgres.remove(data / "postgres")
        for pattern in KEPT:
            for path in data.glob(pattern):
                _delete(path)
    with suppress(OSError):  # something of somebody else is in it
        data.rmdir()


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
