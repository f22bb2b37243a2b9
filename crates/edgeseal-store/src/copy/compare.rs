//! Compares two stores, record by record.

use std::{
    cmp::Ordering,
    collections::{HashMap, VecDeque},
};

use super::{CopySide, Row};
use crate::{Fault, Key, Revision};

/// Reads a side row by row, page by page.
struct Cursor<'a> {
    side: &'a dyn CopySide,
    rows: VecDeque<Row>,
    after: Option<Key>,
    is_finished: bool,
}

impl<'a> Cursor<'a> {
    const fn new(side: &'a dyn CopySide) -> Self {
        Self {
            side,
            rows: VecDeque::new(),
            after: None,
            is_finished: false,
        }
    }

    /// The next row, without taking it.
    async fn peek(&mut self) -> Result<Option<&Row>, Fault> {
        if self.rows.is_empty() && !self.is_finished {
            let page = self.side.rows(self.after.as_ref()).await?;
            self.is_finished = page.rows.is_empty();
            self.after = page.rows.last().map(|row| row.key.clone());
            self.rows = page.rows.into();
        }
        Ok(self.rows.front())
    }
}

/// What a comparison leaves to be decided.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Records that are equal on both sides.
    equal: u64,
    /// Keys that only the target has: the source deleted them after the last change that was copied,
    /// or removed them because they expired.
    pub(super) only_in_target: Vec<Key>,
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

/// Compares everything that did not change after `applied`.
pub(super) async fn compare_all(
    source: &dyn CopySide,
    target: &dyn CopySide,
    applied: Revision,
    mut each: impl FnMut(u64),
) -> Result<Result<Compared, Difference>, Fault> {
    let mut compared = Compared::default();
    let (mut left, mut right) = (Cursor::new(source), Cursor::new(target));
    loop {
        // Both pages at once: each side is a server of its own.
        let (wanted, found) = tokio::join!(left.peek(), right.peek());
        let (wanted, found) = (wanted?, found?);
        let order = match (wanted, found) {
            (None, None) => return Ok(Ok(compared)),
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
                compared.equal += 1;
                if compared.equal.is_multiple_of(1000) {
                    each(compared.equal);
                }
            }
            // Compared again, when it was copied.
            (Some(_), _) if has_changed => {}
            (Some(wanted), Some(_)) => return Ok(Err(Difference::Differs(wanted.key))),
            (Some(wanted), None) => return Ok(Err(Difference::Missing(wanted.key))),
            (None, found) => compared.only_in_target.extend(found.map(|found| found.key)),
        }
    }
}

/// Compares rows that changed in the source, the last ones of their keys, with the target.
pub(super) async fn compare_changed(
    rows: &[Row],
    target: &dyn CopySide,
) -> Result<Result<(), Difference>, Fault> {
    let keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
    let found = target.rows_of(&keys).await?;
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

/// Keys that only the target has may be there only because they expire: the source has removed them.
pub(super) async fn compare_superfluous(
    keys: &[Key],
    source: &dyn CopySide,
    target: &dyn CopySide,
) -> Result<Result<(), Difference>, Fault> {
    for keys in keys.chunks(super::ROWS_MAX) {
        let (found, wanted) = tokio::join!(target.rows_of(keys), source.rows_of(keys));
        let (found, wanted) = (found?, wanted?);
        let wanted: HashMap<&Key, &Row> = wanted.iter().map(|row| (&row.key, row)).collect();
        for row in found {
            let is_same = wanted.get(&row.key).is_some_and(|wanted| **wanted == row);
            if !is_same && row.expires.is_none() {
                return Ok(Err(Difference::Superfluous(row.key)));
            }
        }
    }
    Ok(Ok(()))
}
