"""The whole of PocWhisp on one machine: broker, database, functions and dispatcher."""

import asyncio
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Self

from infra.deployments import DEPLOYMENTS, ROOT, Deployment, dispatcher_environment, url
from infra.local.ports import claim, free_ports
from infra.local.servers import Given, blobs_url, nats, postgres
from infra.local.state import StackInfo, lock, remove_state, running_stack, write_state
from infra.local.supervisor.log import Sink
from infra.local.supervisor.process import answers
from infra.local.supervisor.supervisor import CannotStart, Process, StartFailed, Supervisor
from shared.tasks import together

__all__ = ["CannotStart", "Stack", "StackInfo", "StartFailed", "running_stack"]

STORES, FUNCTIONS, DISPATCHER = range(3)
"""Layers: the dispatcher stops first, the stores last."""
GRACE = 5
"""Seconds that work in flight may take when the stack stops; what is cut off is done again."""
DISPATCHER_READY = re.compile(r'"event": ?"ready"')


class Stack:
    """Runs while its context lasts: `async with Stack(Path(".pocwhisp")) as stack`.

    `data` holds everything it keeps, and at most one stack. Ingest listens on `port`, 0 for any.
    `sink` gets the log, line by line. `env` is added to the environment of functions and
    dispatcher. `NATS_URL`, `DATABASE_URL` and `BLOBS_URL`, if set, name servers to use instead
    of its own. Entering raises `CannotStart`; on leaving, no process is left.
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
        async with AsyncExitStack() as opening:
            held = opening.enter_context(lock(self.data))
            self._settle()
            self.supervisor = await opening.enter_async_context(
                Supervisor(self._sink, changed=self._remember, hold=[held])
            )
            opening.callback(self._forget)
            await self._start()
            self._started_at = datetime.now(UTC)
            self._remember()
            self._closing = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()

    @property
    def url(self) -> str:
        """Where ingest listens, without a slash at the end."""
        return url(self.port_of("ingest"), "")

    @property
    def nats_url(self) -> str:
        return self._nats.url

    @property
    def database_url(self) -> str:
        return self._postgres.url

    @property
    def processes(self) -> dict[str, int]:
        """The present pids by name; a process between two lives is missing."""
        return self.supervisor.pids

    def pid_of(self, name: str) -> int:
        """The present pid. Raise `ProcessLookupError` between two lives."""
        if (pid := self.supervisor.pid_of(name)) is None:
            raise ProcessLookupError(f"{name} does not run now.")
        return pid

    def port_of(self, name: str) -> int:
        """The port of a function, the same through all its restarts."""
        return self._ports[name]

    async def ready(self, name: str, *, after: int | None = None, deadline: float = 60.0) -> None:
        """Wait until a process is ready, in a later life than the one with pid `after`.

        Raise `TimeoutError` at the deadline.
        """
        await self.supervisor.ready(name, after=after, deadline=deadline)

    def _settle(self) -> None:
        """Decide where everything will be, before anything runs."""
        self._ports = {"ingest": claim(self._port)}
        others = [it.name for it in self._deployments if it.name not in self._ports]
        self._ports |= zip(others, free_ports(len(others)), strict=True)
        self._nats = nats(self.data / "nats")
        self._postgres = postgres(self.data / "postgres")
        self.blobs_url = blobs_url(self.data / "blobs")
        self._broker_up, self._migrated = asyncio.Event(), asyncio.Event()

    async def _start(self) -> None:
        """Everything at once: functions load while the stores start, and are asked afterwards."""
        functions = (self.supervisor.start(self._function(it)) for it in self._deployments)
        await together(self._start_broker(), self._start_database(), *functions)

    async def _start_broker(self) -> None:
        await self._nats.start(self.supervisor)
        self._broker_up.set()
        await self.supervisor.start(self._dispatcher())

    async def _start_database(self) -> None:
        await self._postgres.start(self.supervisor)
        await asyncio.to_thread(_migrate, self._postgres.url)
        self._migrated.set()

    def _function(self, it: Deployment) -> Process:
        stores = self._migrated if it.needs_database else self._broker_up
        address = url(self._ports[it.name], it.ready)

        async def is_ready() -> bool:
            await stores.wait()
            return await answers(address)

        return Process(
            name=it.name,
            argv=it.argv,
            env=self._environment() | it.environment(self._ports[it.name]),
            ready=is_ready,
            layer=FUNCTIONS,
        )

    def _dispatcher(self) -> Process:
        return Process(
            name="dispatcher",
            argv=[sys.executable, "-P", "-m", "infra.dispatcher"],
            env=self._environment()
            | dispatcher_environment(self._ports, self._deployments)
            | {"DISPATCH_GRACE": str(GRACE)},
            ready=DISPATCHER_READY,
            layer=DISPATCHER,
        )

    def _environment(self) -> dict[str, str]:
        return {
            "NATS_URL": self._nats.url,
            "DATABASE_URL": self._postgres.url,
            "BLOBS_URL": self.blobs_url,
            "GRACE": str(GRACE),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
            **self._env,
        }

    def _remember(self) -> None:
        if self._started_at is not None:
            with suppress(OSError):  # a full disk must not end what runs
                write_state(self.data, self._info(self._started_at))

    def _forget(self) -> None:
        self._started_at = None
        remove_state(self.data)

    def _info(self, started_at: datetime) -> StackInfo:
        own = not isinstance(self._postgres, Given)
        return StackInfo(
            pid=os.getpid(),
            url=self.url,
            started_at=started_at,
            nats_url=self._nats.url,
            database_url=self._postgres.url if own else None,
            processes=self.processes,
        )


def _migrate(database_url: str) -> None:
    # Imported here: it takes half a second, well spent while the database starts.
    from shared.record.migrate import migrate  # noqa: PLC0415

    migrate(database_url)
