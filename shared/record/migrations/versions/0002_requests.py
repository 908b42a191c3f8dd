"""What the client asked for, what only decoding can tell, and warnings about the audio."""

from alembic import op

revision = "0002"
down_revision = "0001"

CHANGES = """
ALTER TABLE recordings
    ALTER COLUMN duration DROP NOT NULL,
    ALTER COLUMN channels DROP NOT NULL,
    ALTER COLUMN sample_rate DROP NOT NULL,
    ADD COLUMN container text NOT NULL DEFAULT 'wav',
    ADD COLUMN files smallint NOT NULL DEFAULT 1 CHECK (files IN (1, 2)),
    ADD COLUMN request jsonb NOT NULL DEFAULT '{}';

ALTER TABLE runs
    ADD COLUMN warnings jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN levels jsonb NOT NULL DEFAULT '[]';
CREATE INDEX runs_by_state ON runs (tenant, state);
CREATE INDEX stages_latest ON stages (reached_at);

GRANT SELECT (recording, run) ON summaries TO pocwhisp_system;
GRANT SELECT ON alembic_version TO pocwhisp_app, pocwhisp_system;
"""


def upgrade() -> None:
    """Add the columns; what is on record keeps its meaning."""
    op.execute(CHANGES)


def downgrade() -> None:
    """Remove them. Recordings whose length is not known would not fit and are refused."""
    op.execute("""
        REVOKE SELECT (recording, run) ON summaries FROM pocwhisp_system;
        REVOKE SELECT ON alembic_version FROM pocwhisp_app, pocwhisp_system;
        DROP INDEX runs_by_state, stages_latest;
        ALTER TABLE runs DROP COLUMN warnings, DROP COLUMN levels;
        ALTER TABLE recordings
            DROP COLUMN container, DROP COLUMN files, DROP COLUMN request,
            ALTER COLUMN duration SET NOT NULL,
            ALTER COLUMN channels SET NOT NULL,
            ALTER COLUMN sample_rate SET NOT NULL;
    """)
