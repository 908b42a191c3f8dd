"""Bring the database to the present schema: `python -m shared.record.migrate`.

Several may run this at once: one works, the others wait and find nothing to do.
"""

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from shared.record.database import SCHEMA
from shared.settings import DatabaseSettings

MIGRATIONS = Path(__file__).with_name("migrations")
LOCK = 0x706F6377
"""Advisory lock ("pocw") that serialises migrations of one database."""


def migrate(url: str) -> None:
    """Create roles and schema if they are missing, then run the migrations not yet run.

    `url` is libpq's; the login must be allowed to create roles, or be a member of
    `pocwhisp_owner`, `pocwhisp_app` and `pocwhisp_system` already.
    """
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool
    )
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.exec_driver_sql((MIGRATIONS / "bootstrap.sql").read_text())
        connection.commit()
        _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    connection.exec_driver_sql(f"SET ROLE {SCHEMA}_owner")
    connection.exec_driver_sql(f"SET search_path = {SCHEMA}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()


if __name__ == "__main__":
    migrate(DatabaseSettings().database_url.get_secret_value())
