"""The tables of the record: who owns them, and who may do what."""

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
from alembic import command as alembic
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from shared.errors import Unavailable
from shared.record.database import NEEDED_MIGRATION, SCHEMA, Database, conninfo
from shared.record.migrate import configuration, migrate
from tests.support.examples import RECORDING
from tests.support.records import (
    ROOT,
    TABLES,
    VERSIONS,
    found,
    on,
    rows,
)

if TYPE_CHECKING:
    from tests.support.databases import Databases

pytest_plugins = ["tests.support.databases"]


def test_migrations_at_the_same_time_do_not_disturb_each_other(databases: "Databases") -> None:
    urls = [databases.empty()] * 2 + [databases.empty()]
    command = [sys.executable, "-m", "shared.record.migrate"]
    running = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}) for url in urls
    ]
    assert [process.wait(30) for process in running] == [0, 0, 0]
    for url in urls:
        [version] = rows(url, "SELECT version_num FROM pocwhisp.alembic_version")
        assert version == (NEEDED_MIGRATION,)


def test_readiness_waits_for_the_newest_migration(url: str) -> None:
    assert max(path.name for path in VERSIONS.glob("0*.py")).startswith(NEEDED_MIGRATION)
    on(url, lambda database: database.check())
    rows(url, "UPDATE pocwhisp.alembic_version SET version_num = '0001' RETURNING 1")
    with pytest.raises(Unavailable, match="0001"):
        on(url, lambda database: database.check())


WRITTEN_AT_0002 = """
    INSERT INTO recordings (id, tenant, bytes, sha256, duration, channels, sample_rate, request)
    VALUES ('THE RECORDING', 'default', 9000, 'ab', 2.0, 2, 8000, '{"language": "en"}');
    INSERT INTO runs (recording, run, tenant) VALUES ('THE RECORDING', 1, 'default');
    UPDATE runs SET warnings = '[{"code": "truncated", "message": "cut off"}]', levels = '[]',
           recognizer = '{"name": "sphinx", "revision": "5", "digest": ""}', state = 'completed';
    INSERT INTO segments (recording, run, tenant, position, id, speaker,
                          start_time, end_time, text, confidence, words)
    VALUES ('THE RECORDING', 1, 'default', 1, 's1', 'left', 0.0, 1.0, 'hello', 0.5, '[]')
"""
"""What the code before the third migration writes, in its own words."""


def downgraded(url: str, revision: str) -> None:
    """Take the tables back to an older migration."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET ROLE {SCHEMA}_owner")
        connection.exec_driver_sql(f"SET search_path = {SCHEMA}")
        connection.commit()
        alembic.downgrade(configuration(connection), revision)


def written_at_0002(url: str) -> None:
    with psycopg.connect(conninfo(url, "pocwhisp_app")) as connection:
        connection.execute(WRITTEN_AT_0002.replace("THE RECORDING", str(RECORDING)))


def check_old_result(url: str) -> None:
    async def look(database: Database) -> None:
        session = await found(database)
        assert session.transcript is not None
        (segment,) = session.transcript.segments
        assert (segment.text, segment.overlaps, segment.backchannel) == ("hello", (), False)
        assert (segment.mean_log_probability, segment.no_speech_probability) == (None, None)
        assert (session.metadata.quality, session.metadata.languages) == (None, [])
        assert session.metadata.echoes == []
        assert [warning.code for warning in session.metadata.warnings] == ["truncated"]
        assert session.request.task == "transcribe"

    on(url, look)


def test_what_was_recorded_before_the_newest_migration_is_still_read(url: str) -> None:
    downgraded(url, "0002")
    written_at_0002(url)
    migrate(url)
    check_old_result(url)


def test_the_code_before_the_newest_migration_may_go_on_writing(url: str) -> None:
    written_at_0002(url)
    check_old_result(url)


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
        "DELETE FROM documents",
        "SELECT body FROM documents",
        "UPDATE totals SET value = 0",
    ],
)
def test_the_sweep_can_only_do_what_it_needs(url: str, query: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        rows(url, query, "pocwhisp_system")
