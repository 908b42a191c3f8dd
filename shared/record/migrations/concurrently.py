"""Indexes of tables that are in use."""

from alembic import op


def create_index(name: str, definition: str) -> None:
    """Create the index while others write, and drop what an earlier try left of it first.

    It waits for old transactions without a limit, since nobody waits behind it.
    """
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")
        op.execute("SET lock_timeout = '3s'")


def drop_index(name: str) -> None:
    """Drop the index while others read and write."""
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
