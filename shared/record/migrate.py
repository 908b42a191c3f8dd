"""The migrations of the database: `python -m shared.record.migrate` runs the missing ones.

Several may run this at once: one works, the others wait and find nothing to do. A database that
a newer release has migrated already is left as it is.
"""

import time
from pathlib import Path

import psycopg
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from shared.record.connection import SCHEMA
from shared.settings import DatabaseSettings

MIGRATIONS = Path(__file__).with_name("migrations")
LOCK = 0x706F6377
"""Advisory lock ("pocw") that serialises migrations of one database."""
LOCK_RETRY = 0.2
"""Seconds between two tries to take the lock."""
LOCK_TIMEOUT = 3.0
"""Seconds a migration waits for a table; everybody else's traffic waits behind it meanwhile."""
PAUSES = (0.5, 1, 2, 4, 8, *[15] * 36)
"""Seconds between tries to lock the tables; ten minutes in all."""
logger = structlog.get_logger()


def migrate(url: str) -> None:
    """Create roles and schema if they are missing, then run the migrations not yet run.

    The login in `url` (libpq's form) must be allowed to create roles, or be a member of
    `pocwhisp_owner`, `pocwhisp_app` and `pocwhisp_system` already.
    """
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool
    )
    with engine.connect() as connection:
        _wait_for_turn(connection)
        connection.exec_driver_sql((MIGRATIONS / "bootstrap.sql").read_text())
        connection.exec_driver_sql(f"SET ROLE {SCHEMA}_owner")
        connection.exec_driver_sql(f"SET search_path = {SCHEMA}")
        connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}s'")
        connection.commit()
        _upgrade(connection)


def _wait_for_turn(connection: Connection) -> None:
    """Take the lock by polling: `CREATE INDEX CONCURRENTLY` waits for open statements."""
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
        connection.commit()
        time.sleep(LOCK_RETRY)


def configuration(connection: Connection) -> Config:
    """Return Alembic's configuration; `connection` has the owner's role and the schema set."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection) -> None:
    config = configuration(connection)
    newest = ScriptDirectory.from_config(config).get_current_head() or ""
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    found = context.get_current_revision() or ""
    connection.commit()
    if found > newest:
        logger.info("migrated_by_a_newer_release", found=found, newest_known=newest)
        return
    for pause in PAUSES:
        try:
            command.upgrade(config, "head")
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable | DeadlockDetected):
                raise
            connection.rollback()
            logger.warning("tables_in_use", reason=str(error.orig).strip(), again_in=pause)
            time.sleep(pause)
        else:
            return
    command.upgrade(config, "head")


if __name__ == "__main__":
    migrate(DatabaseSettings().database_url.get_secret_value())
