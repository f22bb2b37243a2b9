-- Reports that processes write for each other once a second. Not logged, so that a report waits neither
-- for the disk nor for a standby: a server that crashes or takes over begins with none, and has all of
-- them again within a second. known_schema: the newest layout that the process knows.
CREATE UNLOGGED TABLE report (
    process      text PRIMARY KEY,
    at           timestamptz NOT NULL,
    known_schema integer NOT NULL,
    value        bytea NOT NULL
) WITH (fillfactor = 50);

-- Replaces the report of a process, forgets those that are too old, and returns all of them.
CREATE FUNCTION report_1(own text, own_schema integer, own_value bytea, kept_ms bigint)
RETURNS TABLE (process text, value bytea, age_ms bigint, now_ms bigint, head bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO report VALUES (own, clock_timestamp(), own_schema, own_value)
    ON CONFLICT (process) DO UPDATE SET
        at = excluded.at, known_schema = excluded.known_schema, value = excluded.value;
    DELETE FROM report WHERE at < clock_timestamp() - kept_ms * interval '1 millisecond';
    RETURN QUERY SELECT * FROM reports;
END $$;

-- head is 0 before the first commit.
CREATE VIEW reports AS
SELECT report.process, report.value,
    (extract(epoch FROM clock_timestamp() - report.at) * 1000)::bigint AS age_ms,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms,
    coalesce((SELECT last FROM commits ORDER BY last DESC LIMIT 1), 0) AS head
FROM report ORDER BY report.process;
