-- What moves a store to another one. meta/copy is the marker: while it is there, commit_batch_1 refuses
-- every batch. In the target its column changed counts the steps of the run, so that a step whose
-- connection broke is not done after a later one. The functions take the lock as commits do.

-- Writes the marker of an unfinished copy into an empty store, or over the one of an earlier run. False if
-- there is neither.
CREATE FUNCTION begin_copy_1(before bytea, marker bytea) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    found_marker bytea;
BEGIN
    PERFORM 1 FROM write_lock FOR UPDATE;
    SELECT value INTO found_marker FROM entry WHERE key = 'meta/copy';
    IF found_marker = marker THEN
        -- Done by an attempt whose answer was lost.
        RETURN true;
    END IF;
    IF found_marker IS DISTINCT FROM before OR before IS NULL AND (
        EXISTS (SELECT FROM entry WHERE value IS NOT NULL AND key <> 'meta/data-version')
        OR EXISTS (SELECT FROM audit) OR EXISTS (SELECT FROM history)
    ) THEN
        RETURN false;
    END IF;
    INSERT INTO entry VALUES ('meta/copy', marker, 0, NULL)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed = 0;
    RETURN true;
END $$;

-- Removes all rows, unless another run has replaced the marker. A DELETE of millions of rows would take
-- minutes.
CREATE FUNCTION clear_copy_1(marker bytea, run_id text, step bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM entry
    WHERE key = 'meta/copy' AND convert_from(value, 'UTF8')::json ->> 'run' = run_id
        AND changed IN (step - 1, step)
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    TRUNCATE entry, audit, history;
    INSERT INTO entry VALUES ('meta/copy', marker, step, NULL);
    RETURN true;
END $$;

-- Replaces or removes the marker in a commit of its own, if it is the expected one or this one already.
-- Returns the revision, or NULL if it is another one.
CREATE FUNCTION set_copy_marker_1(expected bytea, marker bytea) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    found_marker bytea;
    head         bigint;
BEGIN
    PERFORM 1 FROM write_lock FOR UPDATE;
    SELECT value INTO found_marker FROM entry WHERE key = 'meta/copy';
    IF found_marker IS DISTINCT FROM expected AND found_marker IS DISTINCT FROM marker THEN
        RETURN NULL;
    END IF;
    SELECT last + 1 INTO STRICT head FROM commits ORDER BY last DESC LIMIT 1;
    INSERT INTO entry VALUES ('meta/copy', marker, head, NULL)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed = excluded.changed;
    INSERT INTO commits VALUES
        (head, head, (random() * 9e18)::bigint, clock_timestamp(), ARRAY[NULL]::text[]);
    RETURN head;
END $$;

-- Removes the marker of this run, and continues above all revisions of both stores. No log remains from
-- before. False if another run has replaced the marker.
CREATE FUNCTION finish_copy_1(run_id text, above bigint, leap bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    head bigint;
BEGIN
    PERFORM 1 FROM write_lock FOR UPDATE;
    DELETE FROM entry WHERE key = 'meta/copy' AND convert_from(value, 'UTF8')::json ->> 'run' = run_id;
    IF NOT FOUND THEN
        -- Done by an attempt whose answer was lost.
        RETURN NOT EXISTS (SELECT FROM entry WHERE key = 'meta/copy')
            AND EXISTS (SELECT FROM compacted WHERE through > above);
    END IF;
    SELECT last INTO head FROM commits ORDER BY last DESC LIMIT 1;
    head := greatest(coalesce(head, 0), above) + leap;
    DELETE FROM lineage;
    -- The first writer begins a lineage of its own.
    INSERT INTO lineage VALUES (head, NULL, 'copy');
    INSERT INTO commits VALUES
        (head, head, (random() * 9e18)::bigint, clock_timestamp(), ARRAY[NULL]::text[]);
    UPDATE compacted SET through = head;
    RETURN true;
END $$;
