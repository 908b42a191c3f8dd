"""ingest's questions to PostgreSQL."""

ONE_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
ADD_RECORDING = """
    INSERT INTO recordings (id, tenant, created_at, file_name, files, bytes, sha256, container,
                            duration, channels, sample_rate, request)
    VALUES (%(recording)s, %(tenant)s, clock_timestamp() - make_interval(secs => %(age)s),
            %(file_name)s, %(files)s, %(bytes)s, %(sha256)s, %(container)s,
            %(duration)s, %(channels)s, %(sample_rate)s, %(request)s)
"""
ADD_RUN = """
    INSERT INTO runs (recording, run, tenant, traceparent)
    VALUES (%(recording)s, %(run)s, %(tenant)s, %(traceparent)s)
"""
LATEST_RUN = """
    SELECT recordings.*, runs.run, runs.state, runs.finished_at, runs.recognizer, runs.degraded,
           runs.failure, runs.warnings, runs.levels, runs.quality, runs.languages, runs.echoes
    FROM recordings JOIN runs ON runs.recording = recordings.id
    WHERE recordings.tenant = %(tenant)s AND recordings.id = %(recording)s
    ORDER BY runs.run DESC LIMIT 1
"""
STAGES = """
    SELECT stage, nullif(channel, '') AS channel, sequence, reached_at AS at
    FROM stages WHERE recording = %(recording)s AND run = %(run)s ORDER BY sequence
"""
SEGMENTS = """
    SELECT id, speaker, start_time, end_time, text, confidence, words,
           mean_log_probability, no_speech_probability, "overlaps", backchannel
    FROM segments WHERE recording = %(recording)s AND run = %(run)s ORDER BY position
"""
SUMMARY = """
    SELECT text, key_points, sentiment, engine
    FROM summaries WHERE recording = %(recording)s AND run = %(run)s
"""
_LATEST_RUNS = """
    FROM recordings JOIN LATERAL (
        SELECT run, state, finished_at FROM runs WHERE runs.recording = recordings.id
        ORDER BY run DESC LIMIT 1
    ) latest ON true
    WHERE recordings.tenant = %(tenant)s
      AND (%(state)s::text IS NULL OR latest.state = %(state)s)
"""
PAGE = f"""
    SELECT recordings.*, latest.* {_LATEST_RUNS}
    ORDER BY recordings.created_at DESC, recordings.id DESC LIMIT %(limit)s OFFSET %(offset)s
"""
COUNT = f"SELECT count(*) AS total {_LATEST_RUNS}"
LAST_ENGINES = """
    SELECT recognizer, engine AS summarizer
    FROM runs LEFT JOIN summaries USING (recording, run)
    WHERE runs.tenant = %(tenant)s AND recognizer IS NOT NULL
    ORDER BY finished_at DESC LIMIT 1
"""
STATES = "SELECT state, count(*) FROM runs GROUP BY state"
STAGE_COUNTS = """
    SELECT CASE stage WHEN 'completed' THEN 'persist' ELSE stage END AS function,
           'delivered' AS outcome, count(*)
    FROM stages WHERE stage IN ('split', 'transcribe', 'merge', 'summarize', 'completed')
    GROUP BY stage
"""
PARKED = """
    SELECT failure->>'function' AS function, 'parked' AS outcome, count(*) FROM runs
    WHERE failure IS NOT NULL GROUP BY 1
"""
STAGE_TIMES = """
    SELECT stage,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS median,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95
    FROM (
        SELECT stage, extract(epoch FROM reached_at - (
            SELECT max(earlier.reached_at) FROM stages earlier
            WHERE earlier.recording = stages.recording AND earlier.run = stages.run
              AND earlier.sequence < stages.sequence AND earlier.stage <> stages.stage
        ))::double precision AS seconds
        FROM stages WHERE reached_at > now() - interval '1 hour'
    ) timed
    WHERE seconds IS NOT NULL GROUP BY stage ORDER BY stage
"""
WORK = """
    SELECT coalesce(sum(duration), 0) AS audio,
           coalesce(sum(took), 0) AS processing,
           sum(took) FILTER (WHERE recent) / nullif(sum(duration) FILTER (WHERE recent), 0)
               AS factor
    FROM (
        SELECT duration, finished_at > now() - interval '1 hour' AS recent,
               extract(epoch FROM finished_at - recordings.created_at)::double precision AS took
        FROM runs JOIN recordings ON recordings.id = runs.recording
        WHERE state = 'completed' AND runs.run = 1
    ) completed
"""
