"""How long the stack, and each function alone, takes from its start until it is ready."""

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
from tests.support.stacks import RunningStack, running, up

ROUNDS = 3
ENVIRONMENT = ("NATS_URL", "DATABASE_URL", "BLOBS_URL")


def section() -> str:
    """The table of the stack and the functions."""
    cold, warm = (
        min(seconds) for seconds in zip(*(stack_start() for _ in range(ROUNDS)), strict=True)
    )
    stacks = [
        ("the stack, cold", f"{cold:.2f} s"),
        ("the stack, warm", f"{warm:.2f} s"),
    ]
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as stack:
        rows = [(it.name, f"{seconds_to_ready(stack, it):.2f} s") for it in DEPLOYMENTS]
    return (
        "\n## Start to ready\n\nThe whole stack by `pocwhisp up`, cold in an empty data folder and "
        "warm in the same folder again. Each function started beside a running stack. Imports, "
        f"connections and the recogniser's model included; the best of {ROUNDS}.\n\n"
        + table(("what", "start to ready"), [*stacks, *rows])
    )


def stack_start() -> tuple[float, float]:
    """Seconds until the stack is ready in an empty data folder, and in the same one again."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with up(Path(folder)):
            cold = time.perf_counter() - started
        started = time.perf_counter()
        with running(Path(folder)):
            return cold, time.perf_counter() - started


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
