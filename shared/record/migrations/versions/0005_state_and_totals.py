"""The state of a recording, totals that are kept as they are written, and room for documents.

Triggers keep state and totals, so that they hold whichever release writes. What is on record is
taken over by the next migration: until then its `state` is null.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

TABLES = """
ALTER TABLE recordings ADD COLUMN state text, ADD COLUMN latest_run integer;
ALTER TABLE recordings ALTER COLUMN state SET DEFAULT 'queued';
ALTER TABLE runs ADD COLUMN summarizer jsonb, ADD COLUMN segments integer;

CREATE TABLE documents (
    recording uuid NOT NULL,
    run       integer NOT NULL,
    tenant    text NOT NULL,
    name      text NOT NULL,
    body      jsonb NOT NULL,
    PRIMARY KEY (recording, run, name),
    FOREIGN KEY (recording, run) REFERENCES runs ON DELETE CASCADE
);
GRANT SELECT, INSERT, UPDATE, DELETE ON documents TO pocwhisp_app;
GRANT SELECT (recording, run, name) ON documents TO pocwhisp_system;

CREATE TABLE totals (
    tenant  text NOT NULL,
    measure text NOT NULL,
    label   text NOT NULL,
    slot    smallint NOT NULL,
    value   double precision NOT NULL,
    PRIMARY KEY (tenant, measure, label, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
COMMENT ON COLUMN totals.tenant IS '*: of all tenants';
COMMENT ON COLUMN totals.slot IS 'a total is the sum over its slots, each for some connections';
GRANT SELECT ON totals TO pocwhisp_app, pocwhisp_system;
"""
FUNCTIONS = """
CREATE FUNCTION add_to_total(of_tenant text, of_measure text, of_label text, by double precision)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pocwhisp, pg_temp AS $$
DECLARE
    mine smallint := pg_backend_pid() % 16;
BEGIN
    -- Whoever shares the slot waits here, before any row: two never wait for each other's rows.
    PERFORM pg_advisory_xact_lock(1886352244, mine);
    INSERT INTO totals AS kept VALUES (of_tenant, of_measure, of_label, mine, by)
    ON CONFLICT (tenant, measure, label, slot) DO UPDATE SET value = kept.value + excluded.value;
END
$$;

CREATE FUNCTION count_recordings() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pocwhisp, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM add_to_total(tenant, 'recordings', state, count(*))
        FROM after WHERE state IS NOT NULL GROUP BY tenant, state;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM add_to_total(tenant, 'recordings', state, -count(*))
        FROM before WHERE state IS NOT NULL GROUP BY tenant, state;
    ELSE
        PERFORM add_to_total(tenant, 'recordings', state, sum(change))
        FROM (SELECT tenant, state, 1 AS change FROM after
              UNION ALL SELECT tenant, state, -1 FROM before) changes
        WHERE state IS NOT NULL GROUP BY tenant, state HAVING sum(change) <> 0;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION keep_state() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pocwhisp, pg_temp AS $$
BEGIN
    UPDATE recordings SET state = NEW.state, latest_run = NEW.run
    WHERE id = NEW.recording AND coalesce(latest_run, 0) <= NEW.run
      AND (state, latest_run) IS DISTINCT FROM (NEW.state, NEW.run);
    RETURN NULL;
END
$$;
"""
TRIGGERS = """
CREATE TRIGGER added AFTER INSERT ON recordings
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_recordings();
CREATE TRIGGER changed AFTER UPDATE ON recordings
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_recordings();
CREATE TRIGGER erased AFTER DELETE ON recordings
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION count_recordings();
CREATE TRIGGER state_changed AFTER INSERT OR UPDATE OF state ON runs
    FOR EACH ROW EXECUTE FUNCTION keep_state();
"""


def upgrade() -> None:
    """Add columns, tables and triggers; what is there is not touched yet."""
    op.execute(TABLES)
    op.execute(FUNCTIONS)
    op.execute(TRIGGERS)


def downgrade() -> None:
    """Remove them."""
    op.execute("""
        DROP TRIGGER state_changed ON runs;
        DROP TRIGGER added ON recordings;
        DROP TRIGGER changed ON recordings;
        DROP TRIGGER erased ON recordings;
        DROP FUNCTION keep_state, count_recordings, add_to_total;
        DROP TABLE totals, documents;
        ALTER TABLE recordings DROP COLUMN state, DROP COLUMN latest_run;
        ALTER TABLE runs DROP COLUMN summarizer, DROP COLUMN segments;
    """)
