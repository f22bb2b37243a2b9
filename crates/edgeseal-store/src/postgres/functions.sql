-- Version 1 of the functions that the program calls. Each takes the lock first, in a statement of its
-- own: under READ COMMITTED the next statement then sees what was committed while it waited.

-- Admits a connection as a writer, instead of the one with old_token, and begins a new lineage if
-- another server answers than before. A lineage begins 2^32 to 2^33 revisions above the last one:
-- whatever a lost server issued beyond that lies below.
CREATE FUNCTION admit_writer_1(old_token bigint, new_token bigint, leap bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    head   bigint;
    before text;
    now_at text := concat_ws('/', extract(epoch FROM pg_postmaster_start_time()),
        'entry'::regclass::oid,
        (SELECT oid FROM pg_database WHERE datname = current_database()));
BEGIN
    PERFORM 1 FROM write_lock FOR UPDATE;
    DELETE FROM writer WHERE token = old_token;
    DELETE FROM writer WHERE NOT EXISTS (
        SELECT FROM pg_stat_activity active WHERE active.pid = writer.pid);
    INSERT INTO writer VALUES (new_token, pg_backend_pid(), clock_timestamp());
    SELECT last INTO head FROM commits ORDER BY last DESC LIMIT 1;
    head := coalesce(head, 0);
    SELECT server INTO before FROM lineage ORDER BY first DESC LIMIT 1;
    IF before IS DISTINCT FROM now_at THEN
        UPDATE lineage SET last = head WHERE last IS NULL;
        head := head + leap;
        INSERT INTO lineage VALUES (head, NULL, now_at);
        INSERT INTO commits VALUES (head, head, new_token, clock_timestamp(), NULL);
    END IF;
    RETURN head;
END $$;

-- Changes the logs in one transaction, which follows the commit before_head and becomes the commit head.
CREATE FUNCTION change_logs_1(
    before_head bigint, head bigint, kinds smallint[], scopes text[], names text[], vals bytea[],
    history_max integer
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF 1 = ANY (kinds) THEN
        INSERT INTO audit (revision, scope, name, value)
        SELECT before_head + row_number() OVER (ORDER BY added.n),
            added.scope, added.name, added.value
        FROM unnest(kinds, scopes, names, vals) WITH ORDINALITY AS added (kind, scope, name, value, n)
        WHERE added.kind = 1
        ON CONFLICT (scope, name) DO NOTHING;
    END IF;
    IF 2 = ANY (kinds) THEN
        INSERT INTO history (scope, name, revision, value)
        SELECT added.scope, added.name, head, added.value
        FROM unnest(kinds, scopes, names, vals) AS added (kind, scope, name, value)
        WHERE added.kind = 2
        ON CONFLICT (scope, name) DO UPDATE SET
            revision = excluded.revision, value = excluded.value;
        DELETE FROM history USING (
            SELECT DISTINCT added.scope, (
                SELECT older.name FROM history older
                WHERE older.scope = added.scope COLLATE "C"
                ORDER BY older.name DESC OFFSET history_max LIMIT 1) AS last
            FROM unnest(kinds, scopes) AS added (kind, scope)
            WHERE added.kind = 2) AS surplus
        WHERE history.scope = surplus.scope COLLATE "C" AND history.name <= surplus.last;
    END IF;
    IF 3 = ANY (kinds) THEN
        DELETE FROM audit USING unnest(kinds, scopes, names) AS gone (kind, scope, name)
        WHERE gone.kind = 3
            AND audit.scope = gone.scope COLLATE "C" AND audit.name = gone.name COLLATE "C";
    END IF;
    IF 4 = ANY (kinds) THEN
        DELETE FROM history USING unnest(kinds, scopes, names) AS gone (kind, scope, name)
        WHERE gone.kind = 4
            AND history.scope = gone.scope COLLATE "C" AND history.name = gone.name COLLATE "C";
    END IF;
END $$;

-- Commits a batch of transactions, each by itself: the conflict of one does not touch the others. The
-- arrays of a batch are joined; expect_until and write_until say where each transaction's part ends.
-- write_kind: 1 puts, 2 deletes, 3 adds. log_kind: 1 appends to the audit, 2 to the history, 3 and 4
-- remove from them. Each audit record has a revision of its own, the last of which is that of the commit.
-- Fails with ES001 if the connection may no longer write, with ES002 if the clock of the node differs too
-- much, and with ES003 and the marker as its message while the store is being moved.
CREATE FUNCTION commit_batch_1(
    writer_token bigint, batch_id bigint, node_ms bigint, clock_difference_max_ms bigint,
    expect_until integer[], expect_key text[], expect_changed bigint[],
    write_until integer[], write_kind smallint[], write_key text[], write_value bytea[],
    write_expires bigint[], write_by bigint[], write_most text[],
    log_until integer[], log_kind smallint[], log_scope text[], log_name text[], log_value bytea[],
    history_max integer,
    OUT first bigint, OUT conflicts text[], OUT standbys text
)
LANGUAGE plpgsql AS $$
DECLARE
    head       bigint;
    conflict   text;
    difference bigint;
    marker     bytea;
    e          integer := 1;
    w          integer := 1;
    l          integer := 1;
    revisions  integer;
BEGIN
    standbys := current_setting('synchronous_standby_names');
    PERFORM 1 FROM write_lock FOR UPDATE;
    PERFORM 1 FROM writer WHERE token = writer_token;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another connection took over' USING ERRCODE = 'ES001';
    END IF;
    difference := extract(epoch FROM clock_timestamp()) * 1000 - node_ms;
    IF abs(difference) > clock_difference_max_ms THEN
        RAISE EXCEPTION 'the clock of this node differs from that of the database by % ms',
            abs(difference) USING ERRCODE = 'ES002';
    END IF;
    SELECT value INTO marker FROM entry WHERE key = 'meta/copy' AND value IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION '%', convert_from(marker, 'UTF8') USING ERRCODE = 'ES003';
    END IF;
    SELECT last INTO STRICT head FROM commits ORDER BY last DESC LIMIT 1;
    first := head + 1;
    conflicts := ARRAY[]::text[];
    FOR i IN 1 .. cardinality(expect_until) LOOP
        conflict := NULL;
        IF e <= expect_until[i] THEN
            SELECT wanted.key INTO conflict
            FROM unnest(expect_key[e : expect_until[i]], expect_changed[e : expect_until[i]])
                WITH ORDINALITY AS wanted (key, changed, n)
            LEFT JOIN entry ON entry.key = wanted.key COLLATE "C" AND entry.value IS NOT NULL
            WHERE entry.changed IS DISTINCT FROM wanted.changed
            ORDER BY wanted.n LIMIT 1;
        END IF;
        IF conflict IS NULL AND 3 = ANY (write_kind[w : write_until[i]]) THEN
            SELECT added.key INTO conflict
            FROM unnest(
                write_key[w : write_until[i]], write_kind[w : write_until[i]],
                write_by[w : write_until[i]], write_most[w : write_until[i]]
            ) WITH ORDINALITY AS added (key, kind, by, most, n)
            LEFT JOIN entry ON entry.key = added.key COLLATE "C"
            WHERE added.kind = 3 AND NOT coalesce(
                CASE WHEN encode(entry.value, 'escape') ~ '^[0-9]{1,20}$'
                THEN added.by <= 0
                    OR least(18446744073709551615,
                        encode(entry.value, 'escape')::numeric + added.by) <= added.most::numeric
                END, false)
            ORDER BY added.n LIMIT 1;
        END IF;
        IF conflict IS NULL THEN
            SELECT greatest(1, count(*)) INTO revisions
            FROM unnest(log_kind[l : log_until[i]]) AS logged (kind)
            WHERE logged.kind = 1;
            head := head + revisions;
            IF l <= log_until[i] THEN
                PERFORM change_logs_1(
                    head - revisions, head, log_kind[l : log_until[i]], log_scope[l : log_until[i]],
                    log_name[l : log_until[i]], log_value[l : log_until[i]], history_max);
            END IF;
            INSERT INTO entry (key, value, changed, expires)
            SELECT put.key,
                CASE put.kind WHEN 1 THEN put.value
                ELSE (
                    SELECT convert_to(least(18446744073709551615, greatest(0,
                        encode(counter.value, 'escape')::numeric + put.by))::text, 'UTF8')
                    FROM entry counter WHERE counter.key = put.key COLLATE "C") END,
                head, put.expires
            FROM unnest(
                write_key[w : write_until[i]], write_kind[w : write_until[i]],
                write_value[w : write_until[i]], write_expires[w : write_until[i]],
                write_by[w : write_until[i]]
            ) AS put (key, kind, value, expires, by)
            WHERE put.kind <> 2
            ON CONFLICT (key) DO UPDATE SET
                value = excluded.value, changed = excluded.changed, expires = excluded.expires;
            IF 2 = ANY (write_kind[w : write_until[i]]) THEN
                UPDATE entry SET value = NULL, changed = head, expires = NULL
                FROM unnest(write_key[w : write_until[i]], write_kind[w : write_until[i]])
                    AS gone (key, kind)
                WHERE gone.kind = 2 AND entry.key = gone.key COLLATE "C"
                    AND entry.value IS NOT NULL;
            END IF;
        END IF;
        conflicts := array_append(conflicts, conflict);
        e := expect_until[i] + 1;
        w := write_until[i] + 1;
        l := log_until[i] + 1;
    END LOOP;
    IF head >= first THEN
        INSERT INTO commits VALUES (head, first, batch_id, clock_timestamp(), conflicts);
    END IF;
END $$;

-- Removes keys that expired, at most that many, deletes beyond those to keep, and old batches that
-- nobody looks up any more. Returns how many keys expired. A node whose clock is ahead removes nothing
-- before its time. Looks before it takes the lock: commits wait only if there is something to remove.
CREATE FUNCTION sweep_1(node_ms bigint, most integer, kept_deletes bigint) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    now_ms  bigint := least(node_ms, extract(epoch FROM clock_timestamp()) * 1000);
    removed integer := 0;
    excess  bigint;
    floor   bigint;
BEGIN
    DELETE FROM commits WHERE at < clock_timestamp() - interval '1 hour'
        AND last IN (SELECT last FROM commits ORDER BY last LIMIT 10000)
        AND last < (SELECT last FROM commits ORDER BY last DESC LIMIT 1);
    SELECT count(*) - kept_deletes INTO excess FROM entry WHERE value IS NULL;
    PERFORM 1 FROM entry WHERE expires < now_ms LIMIT 1;
    IF NOT FOUND AND excess <= 0 THEN
        RETURN 0;
    END IF;
    PERFORM 1 FROM write_lock FOR UPDATE;
    DELETE FROM entry WHERE key IN (
        SELECT key FROM entry WHERE expires < now_ms ORDER BY expires LIMIT most);
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF excess > 0 THEN
        -- Another process may have been faster.
        SELECT count(*) - kept_deletes INTO excess FROM entry WHERE value IS NULL;
    END IF;
    IF excess > 0 THEN
        SELECT changed INTO floor FROM entry WHERE value IS NULL
        ORDER BY changed OFFSET least(excess, 2000) - 1 LIMIT 1;
        DELETE FROM entry WHERE value IS NULL AND changed <= floor;
        UPDATE compacted SET through = floor;
        DELETE FROM lineage WHERE last < floor;
    END IF;
    RETURN removed;
END $$;
