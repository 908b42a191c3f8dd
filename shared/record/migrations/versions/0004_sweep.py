"""What the sweep needs: each stage's event, the run's trace, and since when a delivery is held."""

from alembic import op

revision = "0004"
down_revision = "0003"

CHANGES = """
ALTER TABLE stages ADD COLUMN event jsonb;
ALTER TABLE runs
    ADD COLUMN traceparent text,
    ADD COLUMN held_since timestamptz;

DROP INDEX runs_to_sweep;
CREATE INDEX runs_to_sweep ON runs (coalesce(swept_at, created_at))
    WHERE announced_at IS NULL AND state <> 'cancelled';

GRANT SELECT (recording, run, stage, reached_at, event) ON stages TO pocwhisp_system;
"""


def upgrade() -> None:
    """Add the columns; stages reached before have no event, and an earlier one is sent again."""
    op.execute(CHANGES)


def downgrade() -> None:
    """Remove them, and what they hold."""
    op.execute("""
        REVOKE SELECT (recording, run, stage, reached_at, event) ON stages FROM pocwhisp_system;
        DROP INDEX runs_to_sweep;
        CREATE INDEX runs_to_sweep ON runs (coalesce(swept_at, created_at))
            WHERE announced_at IS NULL;
        ALTER TABLE runs DROP COLUMN traceparent, DROP COLUMN held_since;
        ALTER TABLE stages DROP COLUMN event;
    """)
