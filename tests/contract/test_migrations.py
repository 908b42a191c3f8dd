"""The tables of the record: who owns them, and who may do what."""

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from shared.database import NEEDED_MIGRATION
from shared.errors import Unavailable
from tests.records import (
    ROOT,
    TABLES,
    VERSIONS,
    on,
    rows,
)

if TYPE_CHECKING:
    from tests.databases import Databases

pytest_plugins = ["tests.databases"]


def test_migrations_at_the_same_time_do_not_disturb_each_other(databases: "Databases") -> None:
    urls = [databases.empty()] * 2 + [databases.empty()]
    command = [sys.executable, "-m", "functions.persist.migrate"]
    running = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}) for url in urls
    ]
    assert [process.wait(30) for process in running] == [0, 0, 0]
    for url in urls:
        assert rows(url, "SELECT version_num FROM pocwhisp.alembic_version") == [("0002",)]


def test_readiness_waits_for_the_newest_migration(url: str) -> None:
    assert max(path.name for path in VERSIONS.glob("0*.py")).startswith(NEEDED_MIGRATION)
    on(url, lambda database: database.check())
    rows(url, "UPDATE pocwhisp.alembic_version SET version_num = '0001' RETURNING 1")
    with pytest.raises(Unavailable, match="0001"):
        on(url, lambda database: database.check())


def test_the_owner_owns_every_table(url: str) -> None:
    owned = rows(url, "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'pocwhisp'")
    assert set(owned) == {(name, "pocwhisp_owner") for name in {*TABLES, "alembic_version"}}
    assert rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_every_table_has_its_tenant(url: str) -> None:
    with_tenant = rows(
        url,
        """
        SELECT table_name FROM information_schema.columns
        WHERE table_schema = 'pocwhisp' AND column_name = 'tenant' AND is_nullable = 'NO'
        """,
    )
    assert {name for (name,) in with_tenant} == TABLES


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE stages",
        "ALTER TABLE runs ADD COLUMN more text",
        "TRUNCATE recordings CASCADE",
        "CREATE TABLE mine (id int)",
        "UPDATE alembic_version SET version_num = '9'",
        "DROP SCHEMA pocwhisp CASCADE",
    ],
)
def test_the_app_cannot_change_the_schema(url: str, query: str) -> None:
    with pytest.raises((InsufficientPrivilege, psycopg.errors.InvalidSchemaName)):
        rows(url, query, "pocwhisp_app")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM summaries",
        "SELECT * FROM stages",
        "INSERT INTO runs (recording, run, tenant) VALUES (gen_random_uuid(), 1, 'default')",
        "DELETE FROM runs",
        "UPDATE recordings SET file_name = ''",
        "DELETE FROM segments",
    ],
)
def test_the_sweep_can_only_do_what_it_needs(url: str, query: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        rows(url, query, "pocwhisp_system")
