//! The rows of a copy: how they are read and written.

use bytes::Bytes;
use edgeseal_core::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, Transaction, params};

use super::{super::file::revision, Connections};
use crate::{
    ChangesError, Fault, Key, Revision,
    copy::{COPY_MARKER, ChangeCursor, ROW_BYTES_MAX, ROWS_MAX, Row, Rows, Table},
};

/// The columns of a row, by table.
const fn columns(table: Table) -> &'static str {
    match table {
        Table::Entry => "key, value, changed, expires",
        Table::Audit | Table::History => "scope || char(9) || name, value, revision, NULL",
    }
}

fn row(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    let expires: Option<i64> = row.get(3)?;
    Ok(Row {
        key: Key::from_stored(row.get_ref(0)?.as_str()?),
        value: row
            .get_ref(1)?
            .as_blob_or_null()?
            .map(Bytes::copy_from_slice),
        changed: revision(row.get(2)?),
        expires: expires.map(Timestamp::from_unix_ms),
    })
}

/// As many rows as are read at once.
fn some(mut found: rusqlite::Rows<'_>) -> rusqlite::Result<Vec<Row>> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while bytes < ROW_BYTES_MAX
        && rows.len() < ROWS_MAX
        && let Some(next) = found.next()?
    {
        let next = row(next)?;
        bytes += next.value.as_ref().map_or(0, Bytes::len);
        rows.push(next);
    }
    Ok(rows)
}

fn head(transaction: &Transaction<'_>) -> rusqlite::Result<Revision> {
    transaction.query_row("SELECT head FROM log", [], |row| Ok(revision(row.get(0)?)))
}

pub(super) async fn count(connection: &Connections, table: Table) -> Result<u64, Fault> {
    let counted = connection.run("count the records", move |connection| {
        let sql = match table {
            Table::Entry => format!(
                "SELECT count(*) FROM entry WHERE value IS NOT NULL AND key <> '{COPY_MARKER}'"
            ),
            Table::Audit | Table::History => format!("SELECT count(*) FROM {}", table.name()),
        };
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0))
    });
    counted.await.map(i64::cast_unsigned)
}

pub(super) async fn rows(
    connection: &Connections,
    table: Table,
    after: Option<&Key>,
) -> Result<Rows, Fault> {
    let after = after.map_or(String::new(), |after| after.as_str().to_owned());
    let found = connection.run("list the records", move |connection| {
        let moment = connection.transaction()?;
        let head = head(&moment)?;
        let sql = match table {
            Table::Entry => format!(
                "SELECT {} FROM entry WHERE key > ?1 AND ?2 = '' AND value IS NOT NULL
                 AND key <> '{COPY_MARKER}' ORDER BY key",
                columns(table)
            ),
            Table::Audit | Table::History => format!(
                "SELECT {} FROM {} WHERE (scope, name) > (?1, ?2) ORDER BY scope, name",
                columns(table),
                table.name()
            ),
        };
        let (first, second) = parts(table, &after);
        let mut select = moment.prepare_cached(&sql)?;
        let rows = some(select.query([first, second])?)?;
        Ok(Rows { rows, head })
    });
    found.await
}

pub(super) async fn rows_of(
    connection: &Connections,
    table: Table,
    keys: &[Key],
) -> Result<Vec<Row>, Fault> {
    let keys = keys.to_vec();
    let found = connection.run("read records", move |connection| {
        let moment = connection.transaction()?;
        let condition = match table {
            Table::Entry => "key = ?1 AND ?2 = '' AND value IS NOT NULL",
            Table::Audit | Table::History => "scope = ?1 AND name = ?2",
        };
        let (columns, name) = (columns(table), table.name());
        let sql = format!("SELECT {columns} FROM {name} WHERE {condition}");
        let mut select = moment.prepare_cached(&sql)?;
        let mut found = Vec::new();
        for key in keys {
            let (first, second) = parts(table, key.as_str());
            found.extend(select.query_row([first, second], row).optional()?);
        }
        Ok(found)
    });
    found.await
}

/// The columns of a key: a log has two.
fn parts(table: Table, key: &str) -> (&str, &str) {
    match table {
        Table::Entry => (key, ""),
        Table::Audit | Table::History => Row::scope_and_name(key),
    }
}

pub(super) fn load_entries(transaction: &Transaction<'_>, rows: &[Row]) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO entry (key, value, changed, expires) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value,
             changed = excluded.changed, expires = excluded.expires",
    )?;
    let mut delete = transaction.prepare_cached("DELETE FROM entry WHERE key = ?1")?;
    for row in rows {
        let (name, changed) = (row.key.as_str(), row.changed.0.cast_signed());
        let expires = row.expires.map(Timestamp::unix_ms);
        match &row.value {
            Some(value) => put.execute(params![name, &value[..], changed, expires])?,
            None => delete.execute([name])?,
        };
    }
    Ok(())
}

pub(super) fn load_log(
    transaction: &Transaction<'_>,
    table: Table,
    rows: &[Row],
) -> rusqlite::Result<()> {
    let table = table.name();
    let mut put = transaction.prepare_cached(&format!(
        "INSERT INTO {table} (scope, name, revision, value) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (scope, name) DO UPDATE SET revision = excluded.revision,
             value = excluded.value"
    ))?;
    let mut delete = transaction.prepare_cached(&format!(
        "DELETE FROM {table} WHERE scope = ?1 AND name = ?2"
    ))?;
    for row in rows {
        let (scope, name) = Row::scope_and_name(row.key.as_str());
        let revision = row.changed.0.cast_signed();
        match &row.value {
            Some(value) => put.execute(params![scope, name, revision, &value[..]])?,
            None => delete.execute([scope, name])?,
        };
    }
    Ok(())
}

pub(super) fn changed(
    connection: &mut Connection,
    table: Table,
    after: &ChangeCursor,
) -> rusqlite::Result<Result<Rows, ChangesError>> {
    let moment = connection.transaction()?;
    let from = after.revision.cast_signed();
    let (compacted, is_issued): (i64, bool) = moment
        .prepare_cached(
            "SELECT compacted, ?1 <= head AND (?1 >= first OR EXISTS (
                 SELECT 1 FROM life WHERE life.first <= ?1 AND life.last >= ?1)) FROM log",
        )?
        .query_row([from], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // The logs are not compacted.
    if !is_issued || (table == Table::Entry && after.complete() < revision(compacted)) {
        let oldest = revision(compacted);
        return Ok(Err(ChangesError::Compacted { oldest }));
    }
    let head = head(&moment)?;
    let columns = columns(table);
    let sql = match table {
        Table::Entry => format!(
            "SELECT {columns} FROM entry WHERE changed >= ?1
             AND (changed > ?1 OR (key > ?2 AND ?3 = '')) AND key <> '{COPY_MARKER}'
             ORDER BY changed, key"
        ),
        Table::Audit | Table::History => format!(
            "SELECT {columns} FROM {} WHERE revision >= ?1
             AND (revision > ?1 OR (scope, name) > (?2, ?3)) ORDER BY revision, scope, name",
            table.name()
        ),
    };
    // Without a key, all of the commit lies before.
    let (from, key) = match &after.key {
        Some(key) => (from, key.as_str()),
        None => (from.saturating_add(1), ""),
    };
    let (first, second) = parts(table, key);
    let mut select = moment.prepare_cached(&sql)?;
    let rows = some(select.query(params![from, first, second])?)?;
    Ok(Ok(Rows { rows, head }))
}
