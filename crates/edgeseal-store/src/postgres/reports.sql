-- Reports that processes write for each other once a second. Not logged, so that a report waits neither
-- for the disk nor for a standby: a server that crashes or takes over begins with none, and has all of
-- them again within seconds. run: which process wrote it, of those that use the same name.
CREATE UNLOGGED TABLE report (
    process text PRIMARY KEY,
    run     bigint NOT NULL,
    at      timestamptz NOT NULL,
    value   bytea NOT NULL
) WITH (fillfactor = 50);

-- Since when there are reports: emptied together with them.
CREATE UNLOGGED TABLE reports_since (one integer PRIMARY KEY CHECK (one = 1), at timestamptz NOT NULL);

-- The processes that report. Logged, but written only when one joins, leaves, or is replaced by one of
-- another release: of a process that has not reported since the reports were lost, only this is known.
-- known_schema: the newest layout that it knows.
CREATE TABLE member (
    process      text PRIMARY KEY,
    known_schema integer NOT NULL
);

-- The members with their reports. collected_ms and head are 0 before the first report and commit. A
-- process whose member is just being removed by another one is listed by its report.
CREATE VIEW reports AS
SELECT process, report.run, report.value,
    (extract(epoch FROM clock_timestamp() - report.at) * 1000)::bigint AS age_ms,
    coalesce((SELECT extract(epoch FROM clock_timestamp() - at) * 1000 FROM reports_since), 0)::bigint
        AS collected_ms,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms,
    coalesce((SELECT last FROM commits ORDER BY last DESC LIMIT 1), 0) AS head
FROM member FULL JOIN report USING (process) ORDER BY process;

-- Replaces the report of a process, removes those of processes that have not reported for kept_ms, and
-- returns all. If it has replaced the report of another run, a last row has that.
--
-- It never waits for a standby, which may be gone for hours. A process that joined in the moment before
-- a fail-over joins again with its next report; until then collected_ms is small.
CREATE FUNCTION report_1(
    own text, own_run bigint, own_schema integer, own_value bytea, kept_ms bigint
) RETURNS TABLE (
    process text, run bigint, value bytea, age_ms bigint, collected_ms bigint, now_ms bigint, head bigint,
    is_replaced boolean
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    oldest   timestamptz := clock_timestamp() - kept_ms * interval '1 millisecond';
    replaced reports;
BEGIN
    -- Even a transaction that changes no logged table may write to the log while it reads one.
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO replaced FROM reports WHERE process = own AND run <> own_run;
    INSERT INTO report VALUES (own, own_run, clock_timestamp(), own_value)
    ON CONFLICT (process) DO UPDATE SET
        run = excluded.run, at = excluded.at, value = excluded.value;
    INSERT INTO reports_since VALUES (1, clock_timestamp()) ON CONFLICT DO NOTHING;
    IF NOT EXISTS (SELECT FROM member WHERE process = own AND known_schema = own_schema) THEN
        PERFORM set_config('synchronous_commit', 'local', true);
        INSERT INTO member VALUES (own, own_schema)
        ON CONFLICT (process) DO UPDATE SET known_schema = excluded.known_schema;
    END IF;
    DELETE FROM report WHERE at < oldest;
    DELETE FROM member
    WHERE NOT EXISTS (SELECT FROM report WHERE report.process = member.process)
        AND EXISTS (SELECT FROM reports_since WHERE at < oldest);
    RETURN QUERY SELECT *, false FROM reports;
    IF replaced.process IS NOT NULL THEN
        RETURN QUERY SELECT replaced.*, true;
    END IF;
END $$;

-- Removes a process that ends. If another run has replaced its report, that one stays.
CREATE FUNCTION withdraw_1(own text, own_run bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'local', true);
    DELETE FROM report WHERE process = own AND run = own_run;
    DELETE FROM member
    WHERE process = own AND NOT EXISTS (SELECT FROM report WHERE process = own);
END $$;
