"""The processes of a stack as data: command, environment and order of each."""

import asyncio
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from infra.deployments import ROOT, Deployment, dispatcher_environment, url
from infra.local.supervisor.process import Liveness, Process, probe_succeeds

STORES, FUNCTIONS, DISPATCHER = range(3)
"""Layers: the dispatcher stops first, the stores last."""
GRACE = 5
"""Seconds that work in flight may take when the stack stops; what is cut off is done again."""
DISPATCHER_READY = re.compile(r'"event": ?"ready"')


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Addresses and settings of a stack, from which its processes follow.

    `ports` are by name of deployment. `env` is added to the environment of functions and
    dispatcher. `alive_limit`: seconds within which a function answers at /alive. `broker_up` and
    `migrated` are set once functions can use the broker and the database.
    """

    deployments: Sequence[Deployment]
    ports: Mapping[str, int]
    nats_url: str
    database_url: str
    blobs_url: str
    env: Mapping[str, str]
    alive_limit: float = 10.0
    broker_up: asyncio.Event = field(default_factory=asyncio.Event)
    migrated: asyncio.Event = field(default_factory=asyncio.Event)

    def function(self, deployment: Deployment) -> Process:
        """The process of a function; it is ready only after the stores that it needs."""
        stores = self.migrated if deployment.needs_database else self.broker_up
        port = self.ports[deployment.name]

        async def is_ready() -> bool:
            await stores.wait()
            return await probe_succeeds(url(port, deployment.ready))

        return Process(
            name=deployment.name,
            argv=deployment.argv,
            env=self._environment() | deployment.environment(port),
            ready=is_ready,
            liveness=Liveness(probe=url(port, "/alive"), limit=self.alive_limit),
            layer=FUNCTIONS,
        )

    def dispatcher(self) -> Process:
        """The process that sends each event to the functions that accept it."""
        return Process(
            name="dispatcher",
            argv=[sys.executable, "-P", "-m", "infra.dispatcher"],
            env=self._environment()
            | dispatcher_environment(self.ports, self.deployments)
            | {"DISPATCH_GRACE": str(GRACE)},
            ready=DISPATCHER_READY,
            layer=DISPATCHER,
        )

    def _environment(self) -> dict[str, str]:
        return {
            "NATS_URL": self.nats_url,
            "DATABASE_URL": self.database_url,
            "BLOBS_URL": self.blobs_url,
            "GRACE": str(GRACE),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
            **self.env,
        }
