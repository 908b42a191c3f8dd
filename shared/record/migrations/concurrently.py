"""Indexes of tables that are in use."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op
from sqlalchemy import text

IS_VALID = text("SELECT true FROM pg_index WHERE indexrelid = to_regclass(:name) AND indisvalid")


def create_index(name: str, definition: str) -> None:
    """Create the index while others write, unless an earlier try has completed it.

    It waits for old transactions without a limit, since nobody waits behind it.
    """
    with _waiting_without_limit():
        if op.get_bind().scalar(IS_VALID, {"name": name}):
            return
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")


def drop_index(name: str) -> None:
    """Drop the index while others read and write. It waits as `create_index` does."""
    with _waiting_without_limit():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


@contextmanager
def _waiting_without_limit() -> Iterator[None]:
    with op.get_context().autocommit_block():
        limit = op.get_bind().scalar(text("SHOW lock_timeout"))
        op.execute("SET lock_timeout = 0")
        try:
            yield
        finally:
            op.execute(f"SET lock_timeout = '{limit}'")
