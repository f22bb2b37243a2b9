//! Rows of results, as entries, pages and changes.

use std::collections::HashMap;

use bytes::Bytes;
use tokio_postgres::{Row, types::FromSql};

use crate::{Change, Changes, Entry, Fault, Key, Listing, Page, Revision};

/// The changes of whole commits, from rows of the statement for changes; `None` if the rows end within the first
/// commit.
pub(super) fn whole_commits(
    rows: &[Row],
    (after, head): (Revision, Revision),
    limit: usize,
    most: usize,
) -> Result<Option<Changes>, Fault> {
    let mut items: Vec<Change> = Vec::new();
    let mut through = after;
    for row in rows {
        let Some(changed) = column::<Option<i64>>(row, 3)?.map(revision) else {
            break;
        };
        // Between two commits only.
        if changed != through && items.len() >= limit {
            return Ok(Some(Changes { items, through }));
        }
        through = changed;
        if let Some(key) = column::<Option<&str>>(row, 4)? {
            items.push(Change {
                key: Key::from_stored(key),
                value: column::<Option<&[u8]>>(row, 5)?.map(Bytes::copy_from_slice),
                revision: changed,
            });
        }
    }
    if rows.len() < most {
        return Ok(Some(Changes {
            items,
            through: head,
        }));
    }
    // The last commit may go on behind the last row.
    let last = through;
    items.retain(|item| item.revision != last);
    let mut earlier = None;
    for row in rows {
        let changed = revision(column::<Option<i64>>(row, 3)?.unwrap_or_default());
        if changed != last {
            earlier = Some(changed);
        }
    }
    Ok(earlier.map(|through| Changes { items, through }))
}

pub(super) fn entries(rows: &[Row]) -> Result<Vec<Entry>, Fault> {
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        if column::<Option<&str>>(row, 1)?.is_some() {
            entries.push(entry(row, 1)?);
        }
    }
    Ok(entries)
}

/// An entry from three columns: key, value, changed.
pub(super) fn entry(row: &Row, from: usize) -> Result<Entry, Fault> {
    Ok(Entry {
        key: Key::from_stored(column(row, from)?),
        value: Bytes::copy_from_slice(column(row, from + 1)?),
        revision: revision(column(row, from + 2)?),
    })
}

/// A listing from rows of the statement for windows.
pub(super) fn listing(rows: &[Row]) -> Result<Listing<Entry>, Fault> {
    let total: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
    Ok(Listing {
        items: entries(rows)?,
        total: usize::try_from(total).unwrap_or_default(),
    })
}

pub(super) fn page(rows: Vec<Row>, limit: usize) -> Result<Page, Fault> {
    let head: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
    Ok(cut(entries(&rows)?, limit, revision(head)))
}

/// A page of entries of which one more than `limit` was asked for.
pub(super) fn cut(mut entries: Vec<Entry>, limit: usize, head: Revision) -> Page {
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    Page {
        entries,
        has_more,
        revision: head,
    }
}

/// No text in the database has a NUL, and a parameter with one is an error.
pub(super) fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// The names to look for.
pub(super) fn names(keys: &[Key]) -> Vec<&str> {
    let names = keys.iter().map(Key::as_str);
    names.filter(|name| !has_nul(name)).collect()
}

pub(super) fn in_order(keys: &[Key], found: Vec<Entry>) -> Vec<Option<Entry>> {
    let found: HashMap<Key, Entry> = found
        .into_iter()
        .map(|entry| (entry.key.clone(), entry))
        .collect();
    keys.iter().map(|key| found.get(key).cloned()).collect()
}

pub(super) fn one_more(limit: usize) -> i64 {
    sql_count(limit.saturating_add(1))
}

pub(super) fn sql_count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn revision(stored: i64) -> Revision {
    Revision(stored.cast_unsigned())
}

pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Fault> {
    row.try_get(index).map_err(Fault::of("read a row"))
}
