-- The store of Edgeseal, version 1. Keys are compared byte by byte.

-- Keys with their values. A deleted key keeps its row, without a value, until the change log is
-- compacted.
CREATE TABLE entry (
    key     text COLLATE "C" PRIMARY KEY,
    value   bytea,
    changed bigint NOT NULL,
    expires bigint
);
CREATE INDEX entry_changed ON entry (changed);
CREATE INDEX entry_present ON entry (key) WHERE value IS NOT NULL;
CREATE INDEX entry_deleted ON entry (changed) WHERE value IS NULL;
CREATE INDEX entry_expires ON entry (expires) WHERE expires IS NOT NULL;

-- Audit records, in the order of their commits: they are linked and removed in it. The rows of one
-- account have names that sort by time.
CREATE TABLE audit (
    revision bigint PRIMARY KEY,
    scope    text COLLATE "C" NOT NULL,
    name     text COLLATE "C" NOT NULL,
    value    bytea NOT NULL,
    UNIQUE (scope, name)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Changes of domains, the newest of each.
CREATE TABLE history (
    scope    text COLLATE "C" NOT NULL,
    name     text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    value    bytea NOT NULL,
    PRIMARY KEY (scope, name)
);

-- Locked by each change until it is committed: revisions become visible in order and without gaps,
-- which a sequence does not give. Never updated, so that it leaves no dead rows behind.
CREATE TABLE write_lock (one integer PRIMARY KEY CHECK (one = 1));
INSERT INTO write_lock VALUES (1);

-- Batches that were committed. The newest one is the head of the log; recent ones are looked up when
-- a connection broke at the commit. conflicts: for each transaction of the batch, NULL or the key at
-- which it conflicted.
CREATE TABLE commits (
    last      bigint PRIMARY KEY,
    first     bigint NOT NULL,
    id        bigint NOT NULL UNIQUE,
    at        timestamptz NOT NULL,
    conflicts text[]
);

-- Ranges of revisions that were issued, each by one incarnation of the database: a server since its
-- start. A revision outside of all of them was lost with a server, or comes from another copy.
CREATE TABLE lineage (
    first  bigint PRIMARY KEY,
    last   bigint,
    server text NOT NULL
);

-- Connections that may write. One whose outcome is unknown loses its row before the outcome is looked
-- up, so that nothing it still holds can be written later.
CREATE TABLE writer (
    token bigint PRIMARY KEY,
    pid   integer NOT NULL,
    since timestamptz NOT NULL
);

CREATE TABLE compacted (one integer PRIMARY KEY CHECK (one = 1), through bigint NOT NULL);
INSERT INTO compacted VALUES (1, 0);
