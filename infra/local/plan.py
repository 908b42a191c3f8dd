"""The processes of a stack as data: command, environment and order of each."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.deployments import ROOT, Deployment, dispatcher_environment, local_url
from infra.local.settings import SupervisionSettings
from infra.local.supervisor.process import LivenessProbe, Program

STORES, FUNCTIONS, DISPATCHER = range(3)
"""Layers: the dispatcher stops first, the stores last."""
GRACE = 5
"""Seconds that work in flight may take when the stack stops; what is cut off is done again."""
RESTART_FACTOR = 2
"""Start limits that a restart may take: the machine is busy, and no store gives a head start."""
DISPATCHER_NAME = "dispatcher"
DISPATCHER_READY = re.compile(r'"event": ?"ready"')


@dataclass(frozen=True, kw_only=True)
class StackPlan:
    """Addresses and settings of a stack, from which its processes follow."""

    deployments: Sequence[Deployment]
    ports: Mapping[str, int]
    """By name of deployment, and the dispatcher's."""
    nats_url: str
    database_url: str
    blobs_url: str
    env: Mapping[str, str]
    """Added to the environment of functions and dispatcher."""
    supervision: SupervisionSettings

    def function(self, deployment: Deployment) -> Program:
        """The process of a function."""
        port = self.ports[deployment.name]
        return Program(
            name=deployment.name,
            argv=deployment.argv,
            env=self._environment() | deployment.environment(port),
            ready=local_url(port, deployment.ready),
            liveness=self._liveness(port),
            layer=FUNCTIONS,
        )

    def dispatcher(self) -> Program:
        """The process that sends each event to the functions that accept it."""
        port = self.ports[DISPATCHER_NAME]
        return Program(
            name=DISPATCHER_NAME,
            argv=[sys.executable, "-P", "-m", "infra.dispatcher"],
            env=self._environment()
            | dispatcher_environment(self.ports, self.deployments)
            | {"DISPATCH_GRACE": str(GRACE), "DISPATCH_ALIVE_PORT": str(port)},
            ready=DISPATCHER_READY,
            liveness=self._liveness(port),
            layer=DISPATCHER,
        )

    def _liveness(self, port: int) -> LivenessProbe:
        return LivenessProbe(
            probe=local_url(port, "/alive"),
            timeout=self.supervision.alive_limit,
            startup_limit=RESTART_FACTOR * self.supervision.start_limit,
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
