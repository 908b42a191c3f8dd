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


def upgrade() -> None:
    """Create what is asked for, drop what nobody asks for, and hold the state to its words."""
    for name, definition in INDEXES.items():
        create_index(name, definition)
    for name in NO_LONGER:
        drop_index(name)
    op.execute("""
        ALTER TABLE recordings ADD CONSTRAINT state_is_kept CHECK (
            state IS NOT NULL
            AND state IN ('queued', 'processing', 'completed', 'failed', 'cancelled')) NOT VALID
    """)
    op.execute("ALTER TABLE recordings VALIDATE CONSTRAINT state_is_kept")


def downgrade() -> None:
    """Bring the older ones back."""
    op.execute("ALTER TABLE recordings DROP CONSTRAINT state_is_kept")
    for name, definition in NO_LONGER.items():
        create_index(name, definition)
    for name in INDEXES:
        drop_index(name)
