"""Alembic's entry: it runs the migrations on the connection that `migrate` hands in."""

from alembic import context

from shared.record.database import SCHEMA

context.configure(connection=context.config.attributes["connection"], version_table_schema=SCHEMA)
context.run_migrations()
