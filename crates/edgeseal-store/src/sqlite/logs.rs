//! The tables `audit` and `history`: reads, and the statements with which the writer changes them.

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, Transaction, params};

use super::{
    file::revision,
    read::{query_feed_bounds, read_transaction},
};
use crate::{
    Fault, HISTORY_MAX, Log, LogPage, LogRange, LogRow, LogWrite, Revision, logs::AFTER_ALL_NAMES,
    page_limit,
};

/// The statements of a batch for one log.
pub(super) struct LogStatements<'a> {
    append: CachedStatement<'a>,
    remove: CachedStatement<'a>,
    trim: Option<CachedStatement<'a>>,
}

impl<'a> LogStatements<'a> {
    pub(super) fn of(batch: &'a Transaction<'_>, log: Log) -> rusqlite::Result<Self> {
        let table = log.table();
        let trim = match log {
            Log::Audit => None,
            Log::History => Some(batch.prepare_cached(
                "DELETE FROM history WHERE scope = ?1 AND name <= (
                     SELECT name FROM history WHERE scope = ?1 ORDER BY name DESC LIMIT 1 OFFSET ?2)",
            )?),
        };
        let of_same_name = match log {
            Log::Audit => "NOTHING",
            Log::History => "UPDATE SET revision = excluded.revision, value = excluded.value",
        };
        Ok(Self {
            append: batch.prepare_cached(&format!(
                "INSERT INTO {table} (scope, name, revision, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (scope, name) DO {of_same_name}"
            ))?,
            remove: batch.prepare_cached(&format!(
                "DELETE FROM {table} WHERE scope = ?1 AND name = ?2"
            ))?,
            trim,
        })
    }

    /// Applies a write whose row gets this revision.
    pub(super) fn apply(&mut self, write: &LogWrite, changed: Revision) -> rusqlite::Result<()> {
        let (_, scope, name) = write.place();
        match write {
            LogWrite::Append { value, .. } => {
                let changed = changed.0.cast_signed();
                self.append
                    .execute(params![scope, name, changed, &value[..]])?;
                if let Some(trim) = &mut self.trim {
                    trim.execute(params![scope, HISTORY_MAX as i64])?;
                }
            }
            LogWrite::Remove { .. } => {
                self.remove.execute([scope, name])?;
            }
        }
        Ok(())
    }
}

pub(super) fn read_log(
    connection: &Connection,
    range: LogRange<'_>,
    limit: usize,
) -> Result<LogPage, Fault> {
    let limit = page_limit(limit);
    let read = || -> rusqlite::Result<LogPage> {
        let snapshot = read_transaction(connection)?;
        let (table, order) = (range.log.table(), order(range.newest_first));
        let mut statement = snapshot.prepare_cached(&format!(
            "SELECT scope, name, revision, value FROM {table}
             WHERE scope = ?1 AND name > ?2 AND name < ?3 ORDER BY name {order} LIMIT ?4"
        ))?;
        let before = range.before.unwrap_or(AFTER_ALL_NAMES);
        let parameters = params![range.scope, range.after, before, one_more(limit)];
        let rows = statement.query_map(parameters, row)?;
        let rows = rows.collect::<rusqlite::Result<_>>()?;
        let head = query_feed_bounds(&snapshot)?.head;
        Ok(page(rows, limit, head))
    };
    read().map_err(Fault::of("read a log"))
}

pub(super) fn get_log_rows(
    connection: &Connection,
    (log, scope): (Log, &str),
    names: &[String],
) -> Result<Vec<Option<LogRow>>, Fault> {
    let get = || -> rusqlite::Result<_> {
        let snapshot = read_transaction(connection)?;
        let mut statement = snapshot.prepare_cached(&format!(
            "SELECT scope, name, revision, value FROM {} WHERE scope = ?1 AND name = ?2",
            log.table()
        ))?;
        let mut rows = Vec::with_capacity(names.len());
        for name in names {
            rows.push(statement.query_row([scope, name], row).optional()?);
        }
        Ok(rows)
    };
    get().map_err(Fault::of("get rows of a log"))
}

pub(super) fn audit_since(
    connection: &Connection,
    after: Revision,
    limit: usize,
) -> Result<LogPage, Fault> {
    let limit = page_limit(limit);
    let read = || -> rusqlite::Result<LogPage> {
        let snapshot = read_transaction(connection)?;
        let mut statement = snapshot.prepare_cached(
            "SELECT scope, name, revision, value FROM audit
             WHERE revision > ?1 ORDER BY revision LIMIT ?2",
        )?;
        let rows = statement.query_map([after.0.cast_signed(), one_more(limit)], row)?;
        let rows = rows.collect::<rusqlite::Result<_>>()?;
        let head = query_feed_bounds(&snapshot)?.head;
        Ok(page(rows, limit, head))
    };
    read().map_err(Fault::of("read new audit records"))
}

pub(super) fn log_scopes(
    connection: &Connection,
    log: Log,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, Fault> {
    let limit = page_limit(limit);
    let read = || -> rusqlite::Result<Vec<String>> {
        // One step in the index for each scope, however many rows it has.
        let mut statement = connection.prepare_cached(&format!(
            "SELECT min(scope) FROM {} WHERE scope > ?1",
            log.table()
        ))?;
        let mut scopes: Vec<String> = Vec::new();
        while scopes.len() < limit {
            let last = scopes.last().map_or(after, String::as_str);
            match statement.query_row([last], |row| row.get(0))? {
                Some(next) => scopes.push(next),
                None => break,
            }
        }
        Ok(scopes)
    };
    read().map_err(Fault::of("list the scopes of a log"))
}

/// A page of rows of which one more than `limit` was asked for.
fn page(mut rows: Vec<LogRow>, limit: usize, head: Revision) -> LogPage {
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    LogPage {
        rows,
        has_more,
        revision: head,
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<LogRow> {
    Ok(LogRow {
        scope: row.get(0)?,
        name: row.get(1)?,
        revision: revision(row.get(2)?),
        value: Bytes::copy_from_slice(row.get_ref(3)?.as_blob()?),
    })
}

const fn order(newest_first: bool) -> &'static str {
    if newest_first { "DESC" } else { "ASC" }
}

fn one_more(limit: usize) -> i64 {
    i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX)
}
