//! The statements of a copy, by table.

use crate::copy::Table;

/// Under the lock of the marker's row: of two runs only one goes on, and a step of a connection that
/// broke is not done after a later one.
const MINE: &str = "
    WITH mine AS (
        UPDATE entry SET value = $1, changed = $3
        WHERE key = 'meta/copy' AND convert_from(value, 'UTF8')::json ->> 'run' = $2
            AND changed IN ($3::bigint - 1, $3)
        RETURNING 1)";

/// The statements of a table. The parts of a key in a log are joined by a tab.
pub(super) struct Columns {
    pub(super) table: &'static str,
    /// Key, value, revision and expiry, as they are stored.
    row: &'static str,
    /// The columns of the key.
    key: &'static str,
    revision: &'static str,
    /// What is a row.
    pub(super) is_row: &'static str,
}

impl Columns {
    pub(super) const fn of(table: Table) -> Self {
        match table {
            Table::Entry => Self {
                table: "entry",
                row: "key, value, changed, expires",
                key: "key",
                revision: "changed",
                is_row: "key <> 'meta/copy'",
            },
            Table::Audit | Table::History => Self {
                table: table.name(),
                row: "scope || E'\\t' || name AS key, value, revision AS changed, \
                      NULL::bigint AS expires",
                key: "scope, name",
                revision: "revision",
                is_row: "true",
            },
        }
    }

    /// The columns of a key that is a parameter or a column.
    fn parts(&self, key: &str) -> String {
        match self.key {
            "key" => format!("{key} COLLATE \"C\""),
            _ => format!(
                "split_part({key}, E'\\t', 1) COLLATE \"C\", \
                 split_part({key}, E'\\t', 2) COLLATE \"C\""
            ),
        }
    }

    /// Rows after a key. Bounded in bytes too: the server cuts the page off after the row that exceeds
    /// them.
    pub(super) fn rows(&self) -> String {
        let Self {
            table,
            row,
            key,
            is_row,
            ..
        } = self;
        format!(
            "SELECT (SELECT last FROM commits ORDER BY last DESC LIMIT 1), page.*
             FROM (SELECT) AS one LEFT JOIN LATERAL (
                 SELECT key, value, changed, expires FROM (
                     SELECT {row},
                         sum(octet_length(value)) OVER (ORDER BY {key}) - octet_length(value)
                             AS before
                     FROM {table}
                     WHERE ({key}) > ({after}) AND value IS NOT NULL AND {is_row}
                     ORDER BY {key} LIMIT $2) AS bounded
                 WHERE before < $3) AS page ON true
             ORDER BY page.key COLLATE \"C\"",
            after = self.parts("$1::text"),
        )
    }

    pub(super) fn rows_of(&self) -> String {
        let Self {
            table,
            row,
            key,
            is_row,
            ..
        } = self;
        format!(
            "SELECT 0::bigint, {row} FROM {table}
             WHERE ({key}) IN (SELECT {wanted} FROM unnest($1::text[]) AS wanted (name))
                 AND value IS NOT NULL AND {is_row}",
            wanted = self.parts("wanted.name"),
        )
    }

    /// Rows that changed after a place, with what the log still has.
    pub(super) fn changed(&self) -> String {
        let Self {
            table,
            row,
            key,
            revision,
            is_row,
        } = self;
        format!(
            "SELECT head.last, log.key, log.value, log.changed, log.expires, compacted.through,
                 EXISTS (
                     SELECT FROM lineage
                     WHERE lineage.first <= $4 AND coalesce(lineage.last, head.last) >= $4)
             FROM (SELECT last FROM commits ORDER BY last DESC LIMIT 1) AS head
             CROSS JOIN compacted
             LEFT JOIN LATERAL (
                 SELECT key, value, changed, expires FROM (
                     SELECT {row},
                         sum(coalesce(octet_length(value), 0)) OVER (ORDER BY {revision}, {key})
                             - coalesce(octet_length(value), 0) AS before
                     FROM {table}
                     WHERE {revision} >= $1 AND ({revision} > $1 OR ({key}) > ({after}))
                         AND {is_row}
                     ORDER BY {revision}, {key} LIMIT $3) AS bounded
                 WHERE before < $5) AS log ON true
             ORDER BY log.changed, log.key COLLATE \"C\"",
            after = self.parts("$2::text"),
        )
    }

    pub(super) fn load(&self) -> String {
        let Self {
            table,
            key,
            revision,
            ..
        } = self;
        let (columns, values) = match *key {
            "key" => ("key, expires", "new.name, new.expires".to_owned()),
            _ => ("scope, name", self.parts("new.name")),
        };
        let expires = if *key == "key" {
            ", expires = excluded.expires"
        } else {
            ""
        };
        format!(
            "{MINE},
             gone AS (
                 DELETE FROM {table} WHERE ({key}) IN (
                     SELECT {deleted} FROM unnest($4::text[]) AS deleted (name))
                     AND EXISTS (SELECT FROM mine)),
             put AS (
                 INSERT INTO {table} (value, {revision}, {columns})
                 SELECT new.value, new.changed, {values}
                 FROM unnest($5::text[], $6::bytea[], $7::bigint[], $8::bigint[])
                     AS new (name, value, changed, expires)
                 WHERE EXISTS (SELECT FROM mine)
                 ON CONFLICT ({key}) DO UPDATE SET
                     value = excluded.value, {revision} = excluded.{revision}{expires})
             SELECT count(*) FROM mine",
            deleted = self.parts("deleted.name"),
        )
    }
}
