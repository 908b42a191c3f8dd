"""The deployments of the pipeline, as data: what runs, with what, and who is sent which event."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from events import Event
from functions.merge.handler import merge
from functions.persist.handler import persist
from functions.split.handler import split
from functions.summarize.handler import summarize
from functions.transcribe.handler import transcribe
from infra.local.ports import HOST
from shared.delivery import DELIVERIES_PER_SLOT

ROOT = Path(__file__).resolve().parents[1]
FEW_ARENAS = {"MALLOC_ARENA_MAX": "2"}
"""With an arena for each of its threads, glibc keeps memory that nobody uses any more."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A function as it is deployed."""

    name: str
    module: str
    """The module that runs it."""
    concurrency: int | None = None
    """Events that it handles at one time. None: as many as its own default."""
    accepts: tuple[type[Event], ...] = ()
    """The types of the events that it is sent."""
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Settings of its own."""
    needs_database: bool = False
    """Whether it can be ready only once the database is."""
    ready: str = "/ready"
    """The path that answers 200 when it is ready."""

    @property
    def argv(self) -> list[str]:
        """The command; `-P` keeps a folder named like one of ours out of the imports."""
        return [sys.executable, "-P", "-m", self.module]

    @property
    def in_flight(self) -> int:
        """Deliveries in flight per accepted type.

        Those of all types together do not exceed the `DELIVERIES_PER_SLOT` times `concurrency` that
        the function accepts.
        """
        at_once = self.concurrency or 1
        return max(1, min(at_once, DELIVERIES_PER_SLOT * at_once // max(1, len(self.accepts))))

    def environment(self, port: int) -> dict[str, str]:
        """What this deployment's environment says besides where the stores are."""
        limits = {"CONCURRENCY": str(self.concurrency)} if self.concurrency else {}
        return {"HOST": HOST, "PORT": str(port), **limits, **self.env}


DEPLOYMENTS = (
    Deployment(
        name="ingest",
        module="functions.ingest.main",
        needs_database=True,
        ready="/api/v1/ready",
    ),
    Deployment(name="split", module="functions.split.main", concurrency=4, accepts=split.accepts),
    Deployment(
        name="transcribe",
        module="functions.transcribe.main",
        concurrency=8,
        accepts=transcribe.accepts,
        env=FEW_ARENAS,
    ),
    Deployment(name="merge", module="functions.merge.main", concurrency=8, accepts=merge.accepts),
    Deployment(
        name="summarize",
        module="functions.summarize.main",
        concurrency=2,
        accepts=summarize.accepts,
    ),
    Deployment(
        name="persist",
        module="functions.persist.main",
        concurrency=4,
        accepts=persist.accepts,
        needs_database=True,
    ),
    Deployment(
        name="sweep",
        module="functions.persist.main",
        env={"FUNCTION_TARGET": "sweep"},
        needs_database=True,
    ),
)


def dispatcher_environment(
    ports: Mapping[str, int], deployments: Sequence[Deployment] = DEPLOYMENTS
) -> dict[str, str]:
    """What the dispatcher's environment says besides where the broker is."""
    return {
        "DISPATCH_ROUTES": json.dumps(routes(ports, deployments)),
        "SWEEP_URL": local_url(ports["sweep"]),
    }


def routes(
    ports: Mapping[str, int], deployments: Sequence[Deployment] = DEPLOYMENTS
) -> list[dict[str, Any]]:
    """The dispatcher's `DISPATCH_ROUTES`: one for each deployment and type it accepts."""
    return [
        {
            "function": deployment.name,
            "type": event.type,
            "url": local_url(ports[deployment.name]),
            "in_flight": deployment.in_flight,
        }
        for deployment in deployments
        for event in deployment.accepts
    ]


def local_url(port: int, path: str = "/") -> str:
    """The address of a process of this machine."""
    return f"http://{HOST}:{port}{path}"
