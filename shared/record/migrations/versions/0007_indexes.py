"""Indexes for lists, for the engines of the last run and for recent work, made concurrently."""

from alembic import op

from shared.record.migrations.concurrently import create_index, drop_index

revision = "0007"
down_revision = "0006"

INDEXES = {
    "recordings_by_state": "recordings (tenant, state, created_at DESC, id DESC)",
    "runs_last_engines": "runs (tenant, finished_at DESC) WHERE recognizer IS NOT NULL",
    "runs_recent": "runs (finished_at DESC) WHERE state = 'completed'",
}
NO_LONGER = {
    "runs_by_state": "runs (tenant, state)",
    "stages_latest": "stages (reached_at)",
}


STATE_IS_KEPT = (
    """
    ALTER TABLE recordings
        DROP CONSTRAINT IF EXISTS state_is_kept,
        ADD CONSTRAINT state_is_kept CHECK (
            state IS NOT NULL
            AND state IN ('queued', 'processing', 'completed', 'failed', 'cancelled')) NOT VALID
    """,
    "ALTER TABLE recordings VALIDATE CONSTRAINT state_is_kept",
)
"""Two transactions: only the first, which reads no row, keeps others from the table."""


def upgrade() -> None:
    """Create the indexes in use, drop those that are not, and allow no other states.

    Nothing that is complete is made again when a try is repeated for want of a lock.
    """
    for name, definition in INDEXES.items():
        create_index(name, definition)
    for name in NO_LONGER:
        drop_index(name)
    for statement in STATE_IS_KEPT:
        with op.get_context().autocommit_block():
            op.execute(statement)


def downgrade() -> None:
    """Bring the older ones back."""
    op.execute("ALTER TABLE recordings DROP CONSTRAINT state_is_kept")
    for name, definition in NO_LONGER.items():
        create_index(name, definition)
    for name in INDEXES:
        drop_index(name)
