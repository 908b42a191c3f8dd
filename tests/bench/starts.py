"""How long each function takes from its start until it is ready, alone on the machine."""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import httpx

from infra.deployments import DEPLOYMENTS, ROOT, Deployment
from infra.local.ports import free_ports
from tests.bench.tables import table
from tests.support.stacks import RunningStack, running

ROUNDS = 3
ENVIRONMENT = ("NATS_URL", "DATABASE_URL", "BLOBS_URL")


def section() -> str:
    """The table of functions."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as stack:
        rows = [(it.name, f"{seconds_to_ready(stack, it):.2f} s") for it in DEPLOYMENTS]
    return (
        "\n## Start to ready\n\nEach function started beside a running stack, imports, "
        f"connections and the recogniser's model included; the best of {ROUNDS}.\n\n"
        + table(("function", "start to ready"), rows)
    )


def seconds_to_ready(stack: RunningStack, it: Deployment) -> float:
    """The shortest of some starts."""
    return min(asyncio.run(one_start(stack, it)) for _ in range(ROUNDS))


async def one_start(stack: RunningStack, it: Deployment) -> float:
    [port] = free_ports(1)
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *it.argv,
        env=os.environ | environment(stack) | it.environment(port),
        cwd=ROOT,
        stdout=sys.stderr,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            while not await is_ready(client, it.ready):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
        return time.perf_counter() - started
    finally:
        process.terminate()
        await process.wait()


def environment(stack: RunningStack) -> dict[str, str]:
    """Where the running stack's stores are."""
    info = stack.info
    assert info.database_url is not None
    blobs = (stack.data / "blobs").as_uri()
    return dict(zip(ENVIRONMENT, (info.nats_url, info.database_url, blobs), strict=True))


async def is_ready(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
