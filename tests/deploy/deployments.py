"""What a cluster runs: the deployments of one machine, with transcribe once per channel."""

from collections.abc import Iterator
from dataclasses import replace

from infra.deployments import DEPLOYMENTS as ON_ONE_MACHINE
from infra.deployments import Deployment


def deployments() -> Iterator[Deployment]:
    """One machine hears both channels in one process; in a cluster each has pods of its own."""
    for deployment in ON_ONE_MACHINE:
        if deployment.name == "transcribe":
            for channel in ("left", "right"):
                yield replace(deployment, name=f"transcribe-{channel}", env={"CHANNEL": channel})
        else:
            yield deployment


DEPLOYMENTS = tuple(deployments())
