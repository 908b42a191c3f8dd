"""Overlaps, back-channels, languages, the channels' quality, and echoes that were taken out."""

from alembic import op

revision = "0003"
down_revision = "0002"

CHANGES = """
ALTER TABLE segments
    ADD COLUMN mean_log_probability double precision,
    ADD COLUMN no_speech_probability double precision,
    ADD COLUMN "overlaps" text[] NOT NULL DEFAULT '{}',
    ADD COLUMN backchannel boolean NOT NULL DEFAULT false;

ALTER TABLE runs
    ADD COLUMN quality jsonb,
    ADD COLUMN languages jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN echoes jsonb NOT NULL DEFAULT '[]';
"""


def upgrade() -> None:
    """Add the columns; the older persist, which does not know them, may go on writing."""
    op.execute(CHANGES)


def downgrade() -> None:
    """Remove them, and what they hold."""
    op.execute("""
        ALTER TABLE runs DROP COLUMN quality, DROP COLUMN languages, DROP COLUMN echoes;
        ALTER TABLE segments
            DROP COLUMN mean_log_probability, DROP COLUMN no_speech_probability,
            DROP COLUMN "overlaps", DROP COLUMN backchannel;
    """)
