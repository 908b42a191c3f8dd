"""A real S3 on free ports for tests: SeaweedFS, with one bucket."""

import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.servers import free_port

START_DEADLINE = 30.0
WEED = Path(sysconfig.get_path("scripts")) / "weed"
BUCKET = "pocwhisp"
LISTENERS = ("master", "volume", "filer", "s3", "admin")
ACCESS = {"AWS_ACCESS_KEY_ID": "pocwhisp", "AWS_SECRET_ACCESS_KEY": "test-only"}


@contextmanager
def seaweedfs(folder: Path) -> Iterator[dict[str, str]]:
    """A running server that keeps its files in `folder`; the environment its clients need."""
    port = free_port()
    process = subprocess.Popen(
        [WEED, *arguments(folder, port)],
        cwd=folder,
        env=ACCESS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/healthz")
        yield {
            **ACCESS,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
        }
    finally:
        process.kill()
        process.wait()


def arguments(folder: Path, port: int) -> list[str]:
    """What infra/knative/overlays/kind starts it with, but for ports and what calls home."""
    ports = [f"-{name}.port.grpc={free_port()}" for name in LISTENERS]
    ports += [f"-{name}.port={free_port()}" for name in LISTENERS if name != "s3"]
    sockets = [f"-{name}.localSocket={name}.sock" for name in ("filer", "s3")]
    return [
        *("mini", f"-dir={folder}", f"-bucket={BUCKET}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *("-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-master.telemetry=false", f"-s3.port={port}", *ports, *sockets),
    ]


def wait_until_healthy(url: str) -> None:
    """Raises the last error if it takes too long."""
    end = time.monotonic() + START_DEADLINE
    while True:
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return
