"""The tables of the record: who owns them, and who may do what."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from alembic import command as alembic
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

import shared.record.migrate
from functions.ingest.adapters import PostgresRecord as IngestRecord
from shared.errors import Unavailable
from shared.record.connection import SCHEMA, conninfo
from shared.record.database import NEEDED_MIGRATION, Database
from shared.record.migrate import configuration, migrate
from tests.support.examples import RECORDING
from tests.support.records import (
    ROOT,
    TABLES,
    VERSIONS,
    accept,
    complete,
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


WRITTEN_AT_0003 = """
    INSERT INTO recordings (id, tenant, bytes, sha256, duration, channels, sample_rate, container)
    VALUES ('THE RECORDING', 'default', 9000, 'ab', 2.5, 2, 44100, 'flac');
    INSERT INTO runs (recording, run, tenant) VALUES ('THE RECORDING', 1, 'default');
    UPDATE runs SET state = 'processing';
    UPDATE runs SET warnings = '[{"code": "truncated", "message": "cut off"}]',
           levels = '[{"channel": "left", "peak": -3.0, "rms": -20.0}]', quality = NULL;
    UPDATE runs SET state = 'completed', finished_at = clock_timestamp(),
           degraded = '{recognizer:sphinx}';
    UPDATE runs SET recognizer = '{"name": "sphinx", "revision": "5", "digest": ""}',
           languages = '[{"code": "en", "probability": null, "channel": "left"}]',
           echoes = '[{"channel": "left", "start_time": 1, "end_time": 1.5, "text": "hm"}]';
    INSERT INTO segments (recording, run, tenant, position, id, speaker, start_time, end_time,
                          text, confidence, words, mean_log_probability, no_speech_probability,
                          "overlaps", backchannel)
    VALUES ('THE RECORDING', 1, 'default', 1, 's1', 'left', 0.0, 1.0, 'hello', 0.5,
            '[{"word": "hello", "start_time": 0, "end_time": 1, "confidence": 0.5}]', -0.25, 0.125,
            '{s2}', false);
    INSERT INTO segments (recording, run, tenant, position, id, speaker, start_time, end_time,
                          text, confidence, words, mean_log_probability, no_speech_probability,
                          "overlaps", backchannel)
    VALUES ('THE RECORDING', 1, 'default', 2, 's2', 'right', 0.5, 1.5, 'mm-hm', 0.5, '[]',
            NULL, NULL, '{s1}', true);
    INSERT INTO summaries (recording, run, tenant, text, key_points, sentiment, sentiment_score,
                           engine)
    VALUES ('THE RECORDING', 1, 'default', 'They greet.', '{hello}', 'neutral', 0.0,
            '{"name": "extractive", "revision": "1", "digest": ""}')
"""
"""What the code before the sixth migration writes about one call, in its own words and order."""


def written_at_0003(url: str) -> None:
    with psycopg.connect(conninfo(url, "pocwhisp_app")) as connection:
        for statement in WRITTEN_AT_0003.replace("THE RECORDING", str(RECORDING)).split(";"):
            connection.execute(statement.encode())


def check_whole_result(url: str) -> None:
    async def look(database: Database) -> None:
        session = await found(database)
        assert session.transcript is not None
        first, second = session.transcript.segments
        assert (first.text, first.overlaps, first.words[0].word) == ("hello", ("s2",), "hello")
        assert (first.mean_log_probability, first.no_speech_probability) == (-0.25, 0.125)
        assert (second.speaker, second.overlaps, second.backchannel) == ("right", ("s1",), True)
        assert session.summary is not None
        assert (session.summary.text, session.summary.key_points) == ("They greet.", ["hello"])
        metadata = session.metadata
        assert (metadata.levels[0].peak, metadata.languages[0].code) == (-3.0, "en")
        assert (metadata.echoes[0].text, metadata.degraded) == ("hm", ["recognizer:sphinx"])
        assert [warning.code for warning in metadata.warnings] == ["truncated", "echo_removed"]
        assert metadata.model_versions.summarizer == "extractive 1"
        engines = await IngestRecord(database).engines("default")
        assert (engines.recognizer, engines.summarizer) == ("sphinx 5", "extractive 1")
        page = await IngestRecord(database).page("default", "completed", 10, 0)
        assert ([one.session_id for one in page.sessions], page.pagination.total) == (
            [RECORDING],
            1,
        )

    on(url, look)
    counted = "SELECT run, segments FROM pocwhisp.runs"
    assert rows(url, counted) == [(1, 2)]


def test_what_was_recorded_in_rows_becomes_documents(url: str) -> None:
    downgraded(url, "0003")
    written_at_0003(url)
    migrate(url)
    check_whole_result(url)


def test_the_release_before_may_go_on_writing_rows(url: str) -> None:
    written_at_0003(url)
    check_whole_result(url)


def test_the_release_before_can_read_what_is_written_now(url: str) -> None:
    async def write(database: Database) -> None:
        await accept(database)
        await complete(database)

    on(url, write)
    segments = """
        SELECT id, speaker, start_time, end_time, text, confidence, words,
               mean_log_probability, no_speech_probability, "overlaps", backchannel
        FROM segments ORDER BY position
    """
    first, second = rows(url, segments, "pocwhisp_app")
    assert first[:6] == ("s1", "left", 0.0, 1.0, "hello there", 0.5)
    assert (second[0], second[6][0]["word"], second[9], second[10]) == ("s2", "hello", [], False)
    summaries = "SELECT text, key_points, sentiment, engine->>'name' FROM summaries"
    assert rows(url, summaries, "pocwhisp_app") == [
        ("They greet.", ["hello there"], "neutral", "test")
    ]


def test_a_migration_undone_leaves_the_results(url: str) -> None:
    written_at_0003(url)
    downgraded(url, "0003")
    assert rows(url, "SELECT id, backchannel FROM pocwhisp.segments ORDER BY id") == [
        ("s1", False),
        ("s2", True),
    ]
    assert rows(url, "SELECT text FROM pocwhisp.summaries") == [("They greet.",)]
    migrate(url)
    check_whole_result(url)


def test_an_older_release_leaves_the_tables_of_a_newer_one_alone(url: str) -> None:
    rows(url, "UPDATE pocwhisp.alembic_version SET version_num = '9999' RETURNING 1")
    migrate(url)
    assert rows(url, "SELECT version_num FROM pocwhisp.alembic_version") == [("9999",)]
    on(url, lambda database: database.check())


def test_a_migration_does_not_hold_up_who_uses_the_tables(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.record.migrate, "LOCK_TIMEOUT", 0.2)
    monkeypatch.setattr(shared.record.migrate, "PAUSES", [0.1] * 100)
    downgraded(url, "0004")
    with ThreadPoolExecutor() as pool, psycopg.connect(url) as reader:
        reader.execute("SELECT FROM pocwhisp.recordings")
        migrating = pool.submit(migrate, url)
        for _ in range(2):
            wait_for(lambda: rows(url, WAITING) == [(1,)])
            wait_for(lambda: rows(url, WAITING) == [(0,)])
        assert rows(url, "SELECT count(*) FROM pocwhisp.recordings") == [(0,)]
        assert not migrating.done()
        reader.commit()
        migrating.result(60)
    on(url, lambda database: database.check())


def test_a_migration_that_is_tried_again_keeps_the_indexes_it_has_made(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.record.migrate, "LOCK_TIMEOUT", 0.2)
    monkeypatch.setattr(shared.record.migrate, "PAUSES", [0.1] * 100)
    indexes = "SELECT oid FROM pg_class WHERE relname IN ('recordings_by_state', 'runs_recent')"
    downgraded(url, "0006")
    with ThreadPoolExecutor() as pool, psycopg.connect(url) as reader:
        reader.execute("SELECT FROM pocwhisp.recordings")
        migrating = pool.submit(migrate, url)
        wait_for(lambda: rows(url, WAITING) == [(1,)])
        made = rows(url, indexes)
        wait_for(lambda: rows(url, WAITING) == [(0,)])
        wait_for(lambda: rows(url, WAITING) == [(1,)])
        reader.commit()
        migrating.result(60)
    assert len(made) == 2
    assert rows(url, indexes) == made
    validated = "SELECT convalidated FROM pg_constraint WHERE conname = 'state_is_kept'"
    assert rows(url, validated) == [(True,)]


WAITING = """
    SELECT count(*) FROM pg_locks
    WHERE NOT granted AND relation = 'pocwhisp.recordings'::regclass
"""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_index_that_was_left_half_made_is_made_again(url: str) -> None:
    downgraded(url, "0006")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE INDEX runs_recent ON pocwhisp.runs (run)")
        connection.execute(
            "UPDATE pg_index SET indisvalid = false "
            "WHERE indexrelid = 'pocwhisp.runs_recent'::regclass"
        )
    migrate(url)
    [(definition,)] = rows(url, "SELECT indexdef FROM pg_indexes WHERE indexname = 'runs_recent'")
    assert "finished_at DESC" in definition


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
