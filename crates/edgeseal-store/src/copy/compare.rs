//! Compares two stores, record by record.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap, VecDeque},
};

use edgeseal_core::Timestamp;

use super::{CopySide, Row, Table};
use crate::{Fault, Key, Revision};

/// How far the clocks of two machines may be apart.
const CLOCK_DIFFERENCE_MAX_MS: i64 = 60_000;

/// Reads a side row by row, page by page.
struct Cursor<'a> {
    side: &'a dyn CopySide,
    table: Table,
    rows: VecDeque<Row>,
    after: Option<Key>,
    is_finished: bool,
}

impl<'a> Cursor<'a> {
    const fn new(side: &'a dyn CopySide, table: Table) -> Self {
        Self {
            side,
            table,
            rows: VecDeque::new(),
            after: None,
            is_finished: false,
        }
    }

    /// The next row, without taking it.
    async fn peek(&mut self) -> Result<Option<&Row>, Fault> {
        if self.rows.is_empty() && !self.is_finished {
            let page = self.side.rows(self.table, self.after.as_ref()).await?;
            self.is_finished = page.rows.is_empty();
            self.after = page.rows.last().map(|row| row.key.clone());
            self.rows = page.rows.into();
        }
        Ok(self.rows.front())
    }
}

/// Why two stores are not equal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// The target lacks a record.
    #[error("{0} is missing in the copy")]
    Missing(Key),
    /// A record differs.
    #[error("{0} is another one in the copy")]
    Differs(Key),
    /// The target has a record that the source does not have.
    #[error("{0} is in the copy only")]
    Superfluous(Key),
}

/// Compares everything in a table that did not change after `applied`.
/// Returns the keys that only the target has.
pub(super) async fn compare_all(
    source: &dyn CopySide,
    target: &dyn CopySide,
    (table, applied): (Table, Revision),
    mut each: impl FnMut(u64),
) -> Result<Result<Vec<Key>, Difference>, Fault> {
    let (mut equal, mut only_in_target) = (0_u64, Vec::new());
    let (mut left, mut right) = (Cursor::new(source, table), Cursor::new(target, table));
    loop {
        // Both pages at once: each side is a server of its own.
        let (wanted, found) = tokio::join!(left.peek(), right.peek());
        let (wanted, found) = (wanted?, found?);
        let order = match (wanted, found) {
            (None, None) => return Ok(Ok(only_in_target)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(wanted), Some(found)) => wanted.key.cmp(&found.key),
        };
        let has_changed = wanted.is_some_and(|wanted| wanted.changed > applied);
        let is_equal = order.is_eq() && wanted == found;
        let wanted = order.is_le().then(|| left.rows.pop_front()).flatten();
        let found = order.is_ge().then(|| right.rows.pop_front()).flatten();
        match (wanted, found) {
            (Some(_), Some(_)) if is_equal => {
                equal += 1;
                if equal.is_multiple_of(1000) {
                    each(equal);
                }
            }
            // Compared again, when it was copied.
            (Some(_), _) if has_changed => {}
            (Some(wanted), Some(_)) => return Ok(Err(Difference::Differs(wanted.key))),
            (Some(wanted), None) => return Ok(Err(Difference::Missing(wanted.key))),
            (None, found) => only_in_target.extend(found.map(|found| found.key)),
        }
    }
}

/// Compares rows that changed in the source, the last ones of their keys, with the target.
pub(super) async fn compare_changed(
    table: Table,
    rows: &[Row],
    target: &dyn CopySide,
) -> Result<Result<(), Difference>, Fault> {
    let keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
    let found = target.rows_of(table, &keys).await?;
    let found: HashMap<&Key, &Row> = found.iter().map(|row| (&row.key, row)).collect();
    for wanted in rows {
        match (&wanted.value, found.get(&wanted.key)) {
            (None, None) => {}
            (None, Some(_)) => return Ok(Err(Difference::Superfluous(wanted.key.clone()))),
            (Some(_), None) => return Ok(Err(Difference::Missing(wanted.key.clone()))),
            (Some(_), Some(found)) if *found != wanted => {
                return Ok(Err(Difference::Differs(wanted.key.clone())));
            }
            (Some(_), Some(_)) => {}
        }
    }
    Ok(Ok(()))
}

/// Keys that only the target has may be there only because they have expired: the source has removed
/// them.
pub(super) async fn compare_superfluous(
    keys: &[Key],
    source: &dyn CopySide,
    target: &dyn CopySide,
    now: Timestamp,
) -> Result<Result<(), Difference>, Fault> {
    // The clock of the server that removed them may be ahead.
    let now = now.plus_ms(CLOCK_DIFFERENCE_MAX_MS);
    for keys in keys.chunks(super::ROWS_MAX) {
        let (found, wanted) = tokio::join!(
            target.rows_of(Table::Entry, keys),
            source.rows_of(Table::Entry, keys)
        );
        let (found, wanted) = (found?, wanted?);
        let wanted: HashMap<&Key, &Row> = wanted.iter().map(|row| (&row.key, row)).collect();
        for row in found {
            let is_same = wanted.get(&row.key).is_some_and(|wanted| **wanted == row);
            if !is_same && row.expires.is_none_or(|expires| expires >= now) {
                return Ok(Err(Difference::Superfluous(row.key)));
            }
        }
    }
    Ok(Ok(()))
}

/// The keys in one scope of a log that only the target has.
pub(super) async fn only_in_target(
    log: Table,
    scope: &str,
    source: &dyn CopySide,
    target: &dyn CopySide,
) -> Result<Vec<Key>, Fault> {
    let (wanted, found) = tokio::join!(keys_of(log, scope, source), keys_of(log, scope, target));
    Ok(found?.difference(&wanted?).cloned().collect())
}

async fn keys_of(log: Table, scope: &str, side: &dyn CopySide) -> Result<BTreeSet<Key>, Fault> {
    let mut keys = BTreeSet::new();
    let mut after = Key::from_stored(&format!("{scope}\t"));
    loop {
        let page = side.rows(log, Some(&after)).await?.rows;
        let count = page.len();
        for row in page {
            if Row::scope_and_name(row.key.as_str()).0 != scope {
                return Ok(keys);
            }
            after = row.key.clone();
            keys.insert(row.key);
        }
        if count == 0 {
            return Ok(keys);
        }
    }
}
