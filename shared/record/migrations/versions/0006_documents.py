"""Results as documents instead of rows; the state of what was recorded before.

While pods of the release before still run, views stand in for the tables that are gone: what
those pods write becomes a document, and what is written now they can read. The views and the
columns `warnings`, `levels`, `quality`, `languages` and `echoes` of `runs` are theirs alone, and
go with the next release.
"""

from typing import Any

from alembic import op
from sqlalchemy import text

revision = "0006"
down_revision = "0005"

AT_ONCE = 500
"""Recordings that are converted in one transaction."""
NEXT = text(
    "SELECT max(id::text)::uuid FROM (SELECT id FROM recordings WHERE id > :after "
    "ORDER BY id LIMIT :at_once) next"
)
TAKE_STATE = """
    UPDATE recordings SET state = latest.state, latest_run = latest.run
    FROM (SELECT DISTINCT ON (recording) recording, run, state FROM runs
          WHERE recording > :after AND recording <= :until ORDER BY recording, run DESC) latest
    WHERE id = latest.recording AND (recordings.state IS NULL OR latest_run IS NULL)
"""
LEVELS = """
    INSERT INTO documents
    SELECT runs.recording, runs.run, runs.tenant, 'levels', jsonb_build_object(
        'document', 'io.pocwhisp.document.levels.v1',
        'recording', runs.recording, 'run', runs.run, 'digest', '', 'encoding', '',
        'container', recordings.container, 'sample_rate', recordings.sample_rate,
        'channels', recordings.channels, 'duration', recordings.duration,
        'levels', runs.levels, 'warnings', runs.warnings, 'quality', runs.quality)
    FROM runs JOIN recordings ON recordings.id = runs.recording
    WHERE recording > :after AND recording <= :until AND duration IS NOT NULL
      AND recordings.channels IS NOT NULL AND sample_rate IS NOT NULL
      AND (levels <> '[]' OR warnings <> '[]' OR quality IS NOT NULL)
      AND NOT EXISTS (SELECT FROM documents
                      WHERE (documents.recording, documents.run, name)
                          = (runs.recording, runs.run, 'levels'))
"""
TRANSCRIPTS = """
    INSERT INTO documents
    SELECT recording, run, tenant, 'transcript', jsonb_build_object(
        'document', 'io.pocwhisp.document.transcript.v1',
        'recording', recording, 'run', run, 'digest', '', 'engine', recognizer,
        'degraded', degraded, 'languages', languages, 'echoes', echoes,
        'segments', coalesce((
            SELECT jsonb_agg(to_jsonb(one) - '{recording,run,tenant,position}'::text[]
                             ORDER BY position)
            FROM segments one WHERE (one.recording, one.run) = (runs.recording, runs.run)), '[]'))
    FROM runs
    WHERE recording > :after AND recording <= :until AND recognizer IS NOT NULL
      AND NOT EXISTS (SELECT FROM documents
                      WHERE (documents.recording, documents.run, name)
                          = (runs.recording, runs.run, 'transcript'))
"""
SUMMARIES = """
    INSERT INTO documents
    SELECT recording, run, tenant, 'summary',
        to_jsonb(one) - 'tenant' || jsonb_build_object(
            'document', 'io.pocwhisp.document.summary.v1', 'digest', '')
    FROM summaries one WHERE recording > :after AND recording <= :until
      AND NOT EXISTS (SELECT FROM documents
                      WHERE (documents.recording, documents.run, name)
                          = (one.recording, one.run, 'summary'))
"""
COUNTED = """
    UPDATE runs SET summarizer = (SELECT engine FROM summaries one
                     WHERE (one.recording, one.run) = (runs.recording, runs.run)),
        segments = (SELECT count(*) FROM segments one
                    WHERE (one.recording, one.run) = (runs.recording, runs.run))
    WHERE recording > :after AND recording <= :until AND recognizer IS NOT NULL
      AND segments IS NULL
"""
STEPS = (TAKE_STATE, LEVELS, TRANSCRIPTS, SUMMARIES, COUNTED)
FIRST, LAST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
VIEWS = """
DROP TABLE segments, summaries;

CREATE VIEW segments AS
SELECT recording, run, tenant, number::integer AS position, one.* FROM documents,
    jsonb_array_elements(body->'segments') WITH ORDINALITY AS each (segment, number),
    jsonb_to_record(segment) AS one (
        id text, speaker text, start_time double precision, end_time double precision, text text,
        confidence double precision, words jsonb, mean_log_probability double precision,
        no_speech_probability double precision, "overlaps" text[], backchannel boolean)
WHERE name = 'transcript';

CREATE VIEW summaries AS
SELECT recording, run, tenant, one.* FROM documents, jsonb_to_record(body) AS one (
    text text, key_points text[], sentiment text, sentiment_score double precision, engine jsonb)
WHERE name = 'summary';

GRANT SELECT, INSERT ON segments, summaries TO pocwhisp_app;
GRANT SELECT (recording, run) ON segments, summaries TO pocwhisp_system;
"""
OLD_WRITERS = """
CREATE FUNCTION keep_old_segment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pocwhisp, pg_temp AS $$
DECLARE
    added jsonb := to_jsonb(NEW) - '{recording,run,tenant,position}'::text[]
        || jsonb_build_object('overlaps', coalesce(to_jsonb(NEW.overlaps), '[]'),
                              'backchannel', coalesce(NEW.backchannel, false));
BEGIN
    UPDATE documents
    SET body = jsonb_set(body, '{segments}', body->'segments' || jsonb_build_array(added))
    WHERE (recording, run, name) = (NEW.recording, NEW.run, 'transcript');
    UPDATE runs SET segments = coalesce(segments, 0) + 1
    WHERE (recording, run) = (NEW.recording, NEW.run);
    RETURN NEW;
END
$$;
CREATE TRIGGER written INSTEAD OF INSERT ON segments
    FOR EACH ROW EXECUTE FUNCTION keep_old_segment();

CREATE FUNCTION keep_old_summary() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pocwhisp, pg_temp AS $$
BEGIN
    INSERT INTO documents VALUES (NEW.recording, NEW.run, NEW.tenant, 'summary',
        to_jsonb(NEW) - 'tenant' || jsonb_build_object(
            'document', 'io.pocwhisp.document.summary.v1', 'digest', ''))
    ON CONFLICT DO NOTHING;
    UPDATE runs SET summarizer = NEW.engine WHERE (recording, run) = (NEW.recording, NEW.run);
    RETURN NEW;
END
$$;
CREATE TRIGGER written INSTEAD OF INSERT ON summaries
    FOR EACH ROW EXECUTE FUNCTION keep_old_summary();

CREATE FUNCTION keep_old_result() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pocwhisp, pg_temp AS $$
BEGIN
    IF NEW.levels <> '[]' OR NEW.warnings <> '[]' THEN
        INSERT INTO documents
        SELECT NEW.recording, NEW.run, NEW.tenant, 'levels', jsonb_build_object(
            'document', 'io.pocwhisp.document.levels.v1',
            'recording', id, 'run', NEW.run, 'digest', '', 'encoding', '',
            'container', container, 'sample_rate', sample_rate, 'channels', channels,
            'duration', duration,
            'levels', NEW.levels, 'warnings', NEW.warnings, 'quality', NEW.quality)
        FROM recordings WHERE id = NEW.recording ON CONFLICT DO NOTHING;
    END IF;
    IF NEW.recognizer IS NOT NULL THEN
        INSERT INTO documents VALUES (NEW.recording, NEW.run, NEW.tenant, 'transcript',
            jsonb_build_object(
                'document', 'io.pocwhisp.document.transcript.v1',
                'recording', NEW.recording, 'run', NEW.run, 'digest', '',
                'engine', NEW.recognizer, 'degraded', NEW.degraded, 'segments', '[]'::jsonb,
                'languages', NEW.languages, 'echoes', NEW.echoes)) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER written AFTER UPDATE OF warnings, levels, languages, echoes ON runs
    FOR EACH ROW EXECUTE FUNCTION keep_old_result();
"""
TABLES_AGAIN = """
DROP TRIGGER written ON runs;
ALTER VIEW segments RENAME TO segments_of_documents;
ALTER VIEW summaries RENAME TO summaries_of_documents;
CREATE TABLE segments (
    recording uuid NOT NULL, run integer NOT NULL, tenant text NOT NULL,
    position integer NOT NULL CHECK (position >= 1), id text NOT NULL,
    speaker text NOT NULL CHECK (speaker IN ('left', 'right')),
    start_time double precision NOT NULL,
    end_time double precision NOT NULL CHECK (end_time >= start_time),
    text text NOT NULL, confidence double precision NOT NULL, words jsonb NOT NULL,
    mean_log_probability double precision, no_speech_probability double precision,
    "overlaps" text[] NOT NULL DEFAULT '{}', backchannel boolean NOT NULL DEFAULT false,
    PRIMARY KEY (recording, run, position), UNIQUE (recording, run, id),
    FOREIGN KEY (recording, run) REFERENCES runs ON DELETE CASCADE
);
CREATE TABLE summaries (
    recording uuid NOT NULL, run integer NOT NULL, tenant text NOT NULL, text text NOT NULL,
    key_points text[] NOT NULL,
    sentiment text NOT NULL CHECK (sentiment IN ('positive', 'neutral', 'negative')),
    sentiment_score double precision NOT NULL CHECK (sentiment_score BETWEEN -1 AND 1),
    engine jsonb NOT NULL, PRIMARY KEY (recording, run),
    FOREIGN KEY (recording, run) REFERENCES runs ON DELETE CASCADE
);
INSERT INTO segments SELECT * FROM segments_of_documents;
INSERT INTO summaries SELECT * FROM summaries_of_documents;
UPDATE runs SET
    recognizer = body->'engine', languages = body->'languages', echoes = body->'echoes'
FROM documents WHERE name = 'transcript'
    AND (documents.recording, documents.run) = (runs.recording, runs.run);
UPDATE runs SET
    levels = body->'levels', warnings = body->'warnings', quality = nullif(body->'quality', 'null')
FROM documents WHERE name = 'levels'
    AND (documents.recording, documents.run) = (runs.recording, runs.run);
DROP VIEW segments_of_documents, summaries_of_documents;
DROP FUNCTION keep_old_segment, keep_old_summary, keep_old_result;
TRUNCATE documents;
GRANT SELECT, INSERT, UPDATE, DELETE ON segments, summaries TO pocwhisp_app;
GRANT SELECT (recording, run) ON segments, summaries TO pocwhisp_system;
"""


def upgrade() -> None:
    """Convert what is there in small transactions, then in one what came meanwhile; swap."""
    connection = op.get_bind()
    with op.get_context().autocommit_block():
        after = FIRST
        while until := connection.scalar(NEXT, {"after": after, "at_once": AT_ONCE}):
            convert({"after": after, "until": until})
            after = until
    op.execute("LOCK TABLE segments, summaries IN ACCESS EXCLUSIVE MODE")
    convert({"after": FIRST, "until": LAST})
    op.execute(VIEWS)
    op.execute(OLD_WRITERS)


def convert(between: dict[str, Any]) -> None:
    """Convert the results of the recordings in the range that are not converted yet."""
    for step in STEPS:
        op.get_bind().execute(text(step), between)


def downgrade() -> None:
    """Make rows of the documents again; what rows have no place for is gone."""
    op.execute(TABLES_AGAIN)
