//! Reads, each on its own snapshot that ends with the call.

use std::{
    ops::Deref,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, Transaction};
use tokio::{sync::Semaphore, task};

use super::file::{FLAGS, revision};
use crate::{
    Change, Changes, ChangesError, Entry, Fault, Filter, Key, Listing, Page, Revision,
    key::{LISTING_PREFIX, prefix_end},
    page_limit,
};

/// Connections to read with: some for single keys, which must never wait for a long read; some for
/// ranges; and some for the change feed, which callers' listings must not hold up.
pub(super) struct Readers {
    points: Pool,
    scans: Pool,
    change_log: Pool,
}

/// Connections, each used by one reader at a time.
pub(super) struct Pool {
    connections: Mutex<Vec<Connection>>,
    free: Semaphore,
}

pub(super) const POINTS: usize = 4;
const SCANS: usize = 4;
const CHANGE_LOG_READERS: usize = 2;
/// The page cache of a reader, in KiB: mostly inner pages. There are ten readers, and the kernel
/// caches the file's pages once for all of them.
const CACHE_KIB: i64 = 1024;
/// Rows of the log that one call of `changes` reads, about 20 ms: enough to skip the nonces of
/// many commits.
const SCANNED_ROWS: usize = 20_000;

/// The range of the change feed.
pub(super) struct FeedBounds {
    pub(super) head: Revision,
    pub(super) compacted: Revision,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let open = |_| connect(path).map_err(Fault::of("open a reader"));
        Ok(Self {
            points: Pool::of((0..POINTS).map(open).collect::<Result<_, _>>()?),
            scans: Pool::of((0..SCANS).map(open).collect::<Result<_, _>>()?),
            change_log: Pool::of(
                (0..CHANGE_LOG_READERS)
                    .map(open)
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    /// A read that takes microseconds from the kernel's cache, or as long as the disk stalls: on a
    /// thread that may block, because the caller's thread also serves clients.
    pub(super) async fn point<T: Send + 'static>(
        this: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        Self::with_connection(this, |readers| &readers.points, read).await
    }

    /// A read of milliseconds.
    pub(super) async fn scan<T: Send + 'static>(
        this: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        Self::with_connection(this, |readers| &readers.scans, read).await
    }

    /// As [`scan`](Self::scan), for the change feed.
    pub(super) async fn read_changes<T: Send + 'static>(
        this: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        Self::with_connection(this, |readers| &readers.change_log, read).await
    }

    async fn with_connection<T: Send + 'static>(
        this: &Arc<Self>,
        pool: fn(&Self) -> &Pool,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let permit = pool(this)
            .free
            .acquire()
            .await
            .map_err(Fault::of("take a reader"))?;
        // The permit returns with the connection, even if the caller was dropped.
        permit.forget();
        let this = Arc::clone(this);
        task::spawn_blocking(move || {
            let pool = pool(&this);
            let connection = lock(&pool.connections).pop();
            let lent = ConnectionGuard { pool, connection };
            match &lent.connection {
                Some(connection) => read(connection),
                None => Err(Fault::new("take a reader: there is none")),
            }
        })
        .await
        .map_err(Fault::of("read"))?
    }
}

impl Pool {
    fn of(connections: Vec<Connection>) -> Self {
        Self {
            free: Semaphore::new(connections.len()),
            connections: Mutex::new(connections),
        }
    }
}

/// Returns the connection, also on a panic.
struct ConnectionGuard<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for ConnectionGuard<'_> {
    fn drop(&mut self) {
        lock(&self.pool.connections).extend(self.connection.take());
        self.pool.free.add_permits(1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // No memory map: with one, a disk that fails kills the process (SIGBUS) instead of a call.
    let connection = Connection::open_with_flags(path, FLAGS | OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

pub(super) fn get(connection: &Connection, key: &Key) -> Result<Option<Entry>, Fault> {
    let get = || {
        connection
            .prepare_cached(
                "SELECT value, changed FROM entry WHERE key = ?1 AND value IS NOT NULL",
            )?
            .query_row([key.as_str()], |row| {
                Ok(Entry {
                    key: key.clone(),
                    value: Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?),
                    revision: revision(row.get(1)?),
                })
            })
            .optional()
    };
    get().map_err(Fault::of("get"))
}

pub(super) fn list(
    connection: &Connection,
    prefix: &str,
    after: Option<&Key>,
    limit: usize,
) -> Result<Page, Fault> {
    let limit = page_limit(limit);
    let list = || -> rusqlite::Result<Page> {
        let snapshot = read_transaction(connection)?;
        let mut page = Page {
            entries: Vec::new(),
            has_more: false,
            revision: query_feed_bounds(&snapshot)?.head,
        };
        let (comparison, start) = match after {
            Some(after) if after.as_str() >= prefix => (">", after.as_str()),
            _ => (">=", prefix),
        };
        let mut statement = snapshot.prepare_cached(&list_sql(prefix, comparison))?;
        let mut rows = statement.query([start, &prefix_end(prefix)])?;
        while let Some(row) = rows.next()? {
            if page.entries.len() == limit {
                page.has_more = true;
                break;
            }
            page.entries.push(entry_of_row(row)?);
        }
        Ok(page)
    };
    list().map_err(Fault::of("list"))
}

/// The statement of [`list`]. It has an upper bound, so that SQLite does not search for the first
/// present row behind the prefix: any number of deleted ones may lie before it.
fn list_sql(prefix: &str, comparison: &str) -> String {
    format!(
        "SELECT key, value, changed FROM {} AND key {comparison} ?1 AND key < ?2 ORDER BY key",
        live_rows(prefix)
    )
}

/// As [`list`], backwards.
pub(super) fn list_reverse(
    connection: &Connection,
    prefix: &str,
    before: Option<&Key>,
    limit: usize,
) -> Result<Page, Fault> {
    let (end, limit) = (prefix_end(prefix), page_limit(limit));
    let before = before.map_or(end.as_str(), |before| before.as_str().min(&end));
    let list = || -> rusqlite::Result<Page> {
        let snapshot = read_transaction(connection)?;
        let mut page = Page {
            entries: Vec::new(),
            has_more: false,
            revision: query_feed_bounds(&snapshot)?.head,
        };
        let mut statement = snapshot.prepare_cached(&format!(
            "SELECT key, value, changed FROM {} AND key >= ?1 AND key < ?2 ORDER BY key DESC",
            live_rows(prefix)
        ))?;
        let mut rows = statement.query([prefix, before])?;
        while let Some(row) = rows.next()? {
            if page.entries.len() == limit {
                page.has_more = true;
                break;
            }
            page.entries.push(entry_of_row(row)?);
        }
        Ok(page)
    };
    list().map_err(Fault::of("list backwards"))
}

/// The table with the present rows of a prefix, with a condition to append to.
fn live_rows(prefix: &str) -> &'static str {
    if prefix.starts_with(LISTING_PREFIX) {
        "listed WHERE TRUE"
    } else {
        "entry WHERE value IS NOT NULL"
    }
}

pub(super) fn window(
    connection: &Connection,
    prefix: &str,
    skip: usize,
    limit: usize,
) -> Result<Listing<Entry>, Fault> {
    let (end, limit) = (prefix_end(prefix), page_limit(limit));
    let sql_limit = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let window = || -> rusqlite::Result<Listing<Entry>> {
        let snapshot = read_transaction(connection)?;
        let from = live_rows(prefix);
        let total: i64 = snapshot
            .prepare_cached(&format!(
                "SELECT count(*) FROM {from} AND key >= ?1 AND key < ?2"
            ))?
            .query_row([prefix, &end], |row| row.get(0))?;
        let mut statement = snapshot.prepare_cached(&format!(
            "SELECT key, value, changed FROM {from} AND key >= ?1 AND key < ?2
             ORDER BY key LIMIT ?3 OFFSET ?4"
        ))?;
        let items = statement
            .query_map(
                (prefix, &end, sql_limit(limit), sql_limit(skip)),
                entry_of_row,
            )?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Listing {
            items,
            total: usize::try_from(total).unwrap_or_default(),
        })
    };
    window().map_err(Fault::of("list a window"))
}

pub(super) fn select(
    connection: &Connection,
    prefix: &str,
    filter: &Filter,
    skip: usize,
    limit: usize,
) -> Result<Listing<Entry>, Fault> {
    let (end, limit) = (prefix_end(prefix), page_limit(limit));
    let select = || -> rusqlite::Result<Listing<Entry>> {
        let mut window = Listing::default();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT key, value, changed FROM {} AND key >= ?1 AND key < ?2 ORDER BY key",
            live_rows(prefix)
        ))?;
        let mut rows = statement.query([prefix, &end])?;
        while let Some(row) = rows.next()? {
            let name = &row.get_ref(0)?.as_str()?[prefix.len()..];
            if filter.matches(name, row.get_ref(1)?.as_blob()?) {
                window.add(skip, limit, || entry_of_row(row))?;
            }
        }
        Ok(window)
    };
    select().map_err(Fault::of("list what matches"))
}

pub(super) fn get_many(connection: &Connection, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
    // One snapshot: each statement by itself would lock the file again.
    let snapshot = read_transaction(connection).map_err(Fault::of("get several"))?;
    keys.iter().map(|key| get(&snapshot, key)).collect()
}

pub(super) fn get_and_list(
    connection: &Connection,
    keys: &[Key],
    prefixes: &[String],
    limit: usize,
) -> Result<(Vec<Option<Entry>>, Vec<Page>), Fault> {
    let snapshot = read_transaction(connection).map_err(Fault::of("get several and list"))?;
    let entries = get_many(&snapshot, keys)?;
    let pages = prefixes
        .iter()
        .map(|prefix| list(&snapshot, prefix, None, limit));
    Ok((entries, pages.collect::<Result<_, _>>()?))
}

/// One snapshot for several statements; that of the connection if it is in a transaction already.
pub(super) struct ReadTransaction<'a> {
    connection: &'a Connection,
    _own: Option<Transaction<'a>>,
}

pub(super) fn read_transaction(connection: &Connection) -> rusqlite::Result<ReadTransaction<'_>> {
    let free = connection.is_autocommit();
    Ok(ReadTransaction {
        _own: free
            .then(|| connection.unchecked_transaction())
            .transpose()?,
        connection,
    })
}

impl Deref for ReadTransaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// An entry from the columns `key`, `value` and `changed`.
fn entry_of_row(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        key: Key::from_stored(row.get_ref(0)?.as_str()?),
        value: Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?),
        revision: revision(row.get(2)?),
    })
}

pub(super) fn changes(
    connection: &Connection,
    after: Revision,
    prefixes: &[String],
    limit: usize,
) -> Result<Result<Changes, ChangesError>, Fault> {
    let limit = page_limit(limit);
    let changes = || -> rusqlite::Result<_> {
        let snapshot = read_transaction(connection)?;
        let FeedBounds { head, compacted } = query_feed_bounds(&snapshot)?;
        if after < compacted {
            return Ok(Err(ChangesError::Compacted { oldest: compacted }));
        }
        let mut items = Vec::new();
        let mut statement = snapshot.prepare_cached(
            "SELECT changed, key, value FROM entry WHERE changed > ?1 ORDER BY changed",
        )?;
        let mut rows = statement.query([after.0.cast_signed()])?;
        let (mut scanned, mut through) = (0, after);
        while let Some(row) = rows.next()? {
            let changed = revision(row.get(0)?);
            // Between two commits only.
            if changed != through
                && scanned > 0
                && (items.len() >= limit || scanned >= SCANNED_ROWS)
            {
                return Ok(Ok(Changes { items, through }));
            }
            (scanned, through) = (scanned + 1, changed);
            let key = row.get_ref(1)?.as_str()?;
            if prefixes.iter().any(|prefix| key.starts_with(prefix)) {
                items.push(Change {
                    key: Key::from_stored(key),
                    value: row
                        .get_ref(2)?
                        .as_blob_or_null()?
                        .map(Bytes::copy_from_slice),
                    revision: changed,
                });
            }
        }
        let through = head;
        Ok(Ok(Changes { items, through }))
    };
    changes().map_err(Fault::of("read the change feed"))
}

pub(super) fn feed_bounds(connection: &Connection) -> Result<FeedBounds, Fault> {
    query_feed_bounds(connection).map_err(Fault::of("read the change feed"))
}

pub(super) fn query_feed_bounds(connection: &Connection) -> rusqlite::Result<FeedBounds> {
    connection
        .prepare_cached("SELECT head, compacted FROM log")?
        .query_row([], |row| {
            Ok(FeedBounds {
                head: revision(row.get(0)?),
                compacted: revision(row.get(1)?),
            })
        })
}

#[cfg(test)]
mod tests;
