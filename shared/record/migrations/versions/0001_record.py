"""The record: recordings, runs, stages, segments, summaries."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE recordings (
    id          uuid PRIMARY KEY,
    tenant      text NOT NULL CHECK (tenant ~ '^[a-z0-9-]{1,40}$'),
    created_at  timestamptz NOT NULL DEFAULT now(),
    file_name   text,
    bytes       bigint NOT NULL CHECK (bytes > 0),
    sha256      text NOT NULL,
    duration    double precision NOT NULL CHECK (duration > 0),
    channels    smallint NOT NULL CHECK (channels > 0),
    sample_rate integer NOT NULL CHECK (sample_rate > 0)
);
CREATE INDEX recordings_newest ON recordings (tenant, created_at DESC, id DESC);

CREATE TABLE runs (
    recording   uuid NOT NULL REFERENCES recordings ON DELETE CASCADE,
    run         integer NOT NULL CHECK (run >= 1),
    tenant      text NOT NULL,
    state       text NOT NULL DEFAULT 'queued'
                CHECK (state IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    recognizer  jsonb,
    degraded    text[] NOT NULL DEFAULT '{}',
    failure     jsonb,
    redrives    integer NOT NULL DEFAULT 0,
    swept_at    timestamptz,
    announced_at timestamptz,
    PRIMARY KEY (recording, run)
);
CREATE INDEX runs_to_sweep ON runs (coalesce(swept_at, created_at)) WHERE announced_at IS NULL;

CREATE TABLE stages (
    recording   uuid NOT NULL,
    run         integer NOT NULL,
    tenant      text NOT NULL,
    stage       text NOT NULL,
    channel     text NOT NULL DEFAULT '',
    sequence    integer NOT NULL CHECK (sequence >= 1),
    reached_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (recording, run, stage, channel),
    UNIQUE (recording, sequence),
    FOREIGN KEY (recording, run) REFERENCES runs ON DELETE CASCADE
);

CREATE TABLE segments (
    recording   uuid NOT NULL,
    run         integer NOT NULL,
    tenant      text NOT NULL,
    position    integer NOT NULL CHECK (position >= 1),
    id          text NOT NULL,
    speaker     text NOT NULL CHECK (speaker IN ('left', 'right')),
    start_time  double precision NOT NULL,
    end_time    double precision NOT NULL CHECK (end_time >= start_time),
    text        text NOT NULL,
    confidence  double precision NOT NULL,
    words       jsonb NOT NULL,
    PRIMARY KEY (recording, run, position),
    UNIQUE (recording, run, id),
    FOREIGN KEY (recording, run) REFERENCES runs ON DELETE CASCADE
);

CREATE TABLE summaries (
    recording   uuid NOT NULL,
    run         integer NOT NULL,
    tenant      text NOT NULL,
    text        text NOT NULL,
    key_points  text[] NOT NULL,
    sentiment   text NOT NULL CHECK (sentiment IN ('positive', 'neutral', 'negative')),
    sentiment_score double precision NOT NULL CHECK (sentiment_score BETWEEN -1 AND 1),
    engine      jsonb NOT NULL,
    PRIMARY KEY (recording, run),
    FOREIGN KEY (recording, run) REFERENCES runs ON DELETE CASCADE
);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pocwhisp TO pocwhisp_app;
GRANT SELECT, UPDATE ON runs TO pocwhisp_system;
GRANT SELECT ON recordings TO pocwhisp_system;
GRANT SELECT (recording, run) ON segments TO pocwhisp_system;
REVOKE ALL ON alembic_version FROM pocwhisp_app;
"""


def upgrade() -> None:
    """Make the tables and say who may do what with them."""
    op.execute(TABLES)


def downgrade() -> None:
    """Remove them; what was recorded is gone."""
    op.execute("DROP TABLE summaries, segments, stages, runs, recordings")
