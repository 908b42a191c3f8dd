"""Fixtures of the tests that need a broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import NatsServer, nats_server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as running:
        yield running
