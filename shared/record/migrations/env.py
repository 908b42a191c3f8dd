"""Alembic's entry: it runs the migrations on the connection that `migrate` hands in.

Each runs in a transaction of its own, so that one without its locks leaves the others done.
"""

from alembic import context

from shared.record.connection import SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema=SCHEMA,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
