//! Reads, each one statement and so one snapshot, on a connection of a pool.

use std::{collections::HashMap, sync::Arc, time::Duration};

use deadpool::managed::{self, Metrics, Pool, RecycleError, RecycleResult};
use edgeseal_core::Backoff;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Row, Statement, types::ToSql};

use super::{
    connect::{ConnectError, Connector, STATEMENT_TIMEOUT, Session, SqlError},
    rows::{
        column, cut, entry, has_nul, in_order, listing, names, one_more, page, revision, sql_count,
        whole_commits,
    },
};
use crate::{
    Changes, ChangesError, Entry, Fault, Filter, Key, Listing, Page, Revision, filter::TextMatch,
    key::prefix_end, page_limit,
};

/// Connections to read with: a pool for few rows, which must never wait for long reads, and one for
/// ranges.
pub(super) struct Readers {
    points: Pool<Sessions>,
    pub(super) scans: Pool<Sessions>,
}

/// Makes the sessions of a pool.
pub(super) struct Sessions(Arc<Connector>);

pub(super) struct ReadSession {
    session: Session,
    /// Prepared statements by their text.
    statements: HashMap<&'static str, Statement>,
    /// Whether a statement runs. If its caller went away, the next one would wait behind it.
    is_busy: bool,
    /// See [`Connector::generation`].
    generation: u64,
}

const POINTS: usize = 8;
const SCANS: usize = 8;
/// How long a read may take, with waiting for a connection and all attempts.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(1));
/// Rows of the log that one call of `changes` reads at least.
const SCANNED_ROWS_MIN: usize = 1000;

/// Rows that a listing with a filter reads at once: summaries of a few hundred bytes, about 1 MB.
const SELECTED_ROWS: usize = 5000;

const HEAD: &str = "SELECT last FROM commits ORDER BY last DESC LIMIT 1";
const GET: &str = "
    SELECT key, value, changed FROM entry WHERE key = ANY ($1) AND value IS NOT NULL";
const LIST: &str = "
    SELECT (SELECT last FROM commits ORDER BY last DESC LIMIT 1), page.key, page.value, page.changed
    FROM (SELECT) AS one LEFT JOIN LATERAL (
        SELECT key, value, changed FROM entry
        WHERE key >= $1 AND key > $2 AND key < $3 AND value IS NOT NULL
        ORDER BY key LIMIT $4) AS page ON true
    ORDER BY page.key";
const LIST_REVERSE: &str = "
    SELECT (SELECT last FROM commits ORDER BY last DESC LIMIT 1), page.key, page.value, page.changed
    FROM (SELECT) AS one LEFT JOIN LATERAL (
        SELECT key, value, changed FROM entry
        WHERE key >= $1 AND key < $2 AND value IS NOT NULL
        ORDER BY key DESC LIMIT $3) AS page ON true
    ORDER BY page.key DESC";
const WINDOW: &str = "
    SELECT (SELECT count(*) FROM entry WHERE key >= $1 AND key < $2 AND value IS NOT NULL),
        page.key, page.value, page.changed
    FROM (SELECT) AS one LEFT JOIN LATERAL (
        SELECT key, value, changed FROM entry
        WHERE key >= $1 AND key < $2 AND value IS NOT NULL
        ORDER BY key OFFSET $3 LIMIT $4) AS page ON true
    ORDER BY page.key";
/// As [`WINDOW`], of the keys like $5.
const SELECT_BY_NAME: &str = "
    SELECT (SELECT count(*) FROM entry
            WHERE key >= $1 AND key < $2 AND value IS NOT NULL AND key LIKE $5),
        page.key, page.value, page.changed
    FROM (SELECT) AS one LEFT JOIN LATERAL (
        SELECT key, value, changed FROM entry
        WHERE key >= $1 AND key < $2 AND value IS NOT NULL AND key LIKE $5
        ORDER BY key OFFSET $3 LIMIT $4) AS page ON true
    ORDER BY page.key";
/// As [`LIST`], of the keys like $5.
const LIST_BY_NAME: &str = "
    SELECT NULL::bigint, key, value, changed FROM entry
    WHERE key >= $1 AND key > $2 AND key < $3 AND value IS NOT NULL AND key LIKE $5
    ORDER BY key LIMIT $4";
const GET_AND_LIST: &str = "
    SELECT (SELECT last FROM commits ORDER BY last DESC LIMIT 1), found.*
    FROM (SELECT) AS one LEFT JOIN LATERAL (
        SELECT 0::bigint AS part, key, value, changed FROM entry
        WHERE key = ANY ($1) AND value IS NOT NULL
        UNION ALL
        SELECT range.n, page.key, page.value, page.changed
        FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS range (start, stop, n)
        CROSS JOIN LATERAL (
            SELECT key, value, changed FROM entry
            WHERE key >= range.start AND key < range.stop AND value IS NOT NULL
            ORDER BY key LIMIT $4) AS page) AS found ON true
    ORDER BY found.part, found.key";
const CHANGES: &str = "
    SELECT head.last, compacted.through,
        $1 = 0 OR EXISTS (
            SELECT FROM lineage
            WHERE lineage.first <= $1 AND coalesce(lineage.last, head.last) >= $1) AS issued,
        log.changed, log.key, log.value
    FROM (SELECT last FROM commits ORDER BY last DESC LIMIT 1) AS head
    CROSS JOIN compacted
    LEFT JOIN LATERAL (
        SELECT changed,
            CASE WHEN key ^@ ANY ($2) THEN key END AS key,
            CASE WHEN key ^@ ANY ($2) THEN value END AS value
        FROM entry WHERE changed > $1 ORDER BY changed LIMIT $3) AS log ON true
    ORDER BY log.changed";
const SWEEP: &str = "SELECT sweep_1($1, $2, $3)";

impl managed::Manager for Sessions {
    type Type = ReadSession;
    type Error = ConnectError;

    async fn create(&self) -> Result<ReadSession, ConnectError> {
        let generation = self.0.generation();
        Ok(ReadSession {
            session: self.0.connect().await?,
            statements: HashMap::new(),
            is_busy: false,
            generation,
        })
    }

    async fn recycle(&self, it: &mut ReadSession, _: &Metrics) -> RecycleResult<ConnectError> {
        let is_old = it.generation != self.0.generation();
        if is_old || it.is_busy || it.session.client.is_closed() {
            return Err(RecycleError::message("the connection is not used any more"));
        }
        Ok(())
    }
}

impl ReadSession {
    async fn query(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let client = &self.session.client;
        let statement = match self.statements.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let statement = client.prepare(sql).await?;
                self.statements.insert(sql, statement.clone());
                statement
            }
        };
        self.is_busy = true;
        let rows = client.query(&statement, parameters).await;
        self.is_busy = false;
        rows
    }
}

impl Readers {
    pub(super) fn new(connector: &Arc<Connector>) -> Result<Self, Fault> {
        let pool = |size| {
            Pool::builder(Sessions(Arc::clone(connector)))
                .max_size(size)
                .build()
                .map_err(Fault::of("make a pool of connections"))
        };
        Ok(Self {
            points: pool(POINTS)?,
            scans: pool(SCANS)?,
        })
    }

    /// Runs a statement that may be repeated: until it succeeds, the server refuses it, or the time is
    /// over. A connection that breaks or hangs does not go back into the pool.
    pub(super) async fn query(
        pool: &Pool<Sessions>,
        what: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let attempts = Self::query_repeatedly(pool, what, sql, parameters);
        timeout(READ_TIMEOUT, attempts)
            .await
            .unwrap_or_else(|_| Err(Fault::of(what)(SqlError::TimedOut(READ_TIMEOUT))))
    }

    /// As [`query`](Self::query), on a connection for few rows.
    pub(super) async fn query_points(
        &self,
        what: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        Self::query(&self.points, what, sql, parameters).await
    }

    async fn query_repeatedly(
        pool: &Pool<Sessions>,
        what: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        for attempt in 0.. {
            let fault = match attempt_query(pool, sql, parameters).await {
                Ok(rows) => return Ok(rows),
                Err((fault, true)) => {
                    return Err(Fault {
                        operation: what,
                        ..fault
                    });
                }
                Err((fault, false)) => fault,
            };
            tracing::debug!(
                error = &fault as &dyn std::error::Error,
                attempt,
                "a read is repeated"
            );
            sleep(BACKOFF.delay(attempt)).await;
        }
        unreachable!("attempts end with the time")
    }

    pub(super) async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, Fault> {
        let names = names(keys);
        let rows = Self::query(&self.points, "get", GET, &[&names]).await?;
        let entries = rows.iter().map(|row| entry(row, 0));
        Ok(in_order(keys, entries.collect::<Result<_, _>>()?))
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let limit = page_limit(limit);
        let after = after.map_or("", Key::as_str);
        let end = prefix_end(prefix);
        let parameters: [&(dyn ToSql + Sync); 4] = [&prefix, &after, &end, &one_more(limit)];
        page(
            Self::query(&self.scans, "list", LIST, &parameters).await?,
            limit,
        )
    }

    pub(super) async fn list_reverse(
        &self,
        prefix: &str,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let (end, limit) = (prefix_end(prefix), page_limit(limit));
        let before = before.map_or(end.as_str(), |before| before.as_str().min(&end));
        let parameters: [&(dyn ToSql + Sync); 3] = [&prefix, &before, &one_more(limit)];
        let rows = Self::query(&self.scans, "list backwards", LIST_REVERSE, &parameters);
        page(rows.await?, limit)
    }

    pub(super) async fn window(
        &self,
        prefix: &str,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        if has_nul(prefix) {
            return Ok(Listing::default());
        }
        let (end, limit) = (prefix_end(prefix), page_limit(limit));
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&prefix, &end, &sql_count(skip), &sql_count(limit)];
        let rows = Self::query(&self.scans, "list a window", WINDOW, &parameters).await?;
        listing(&rows)
    }

    /// The name is compared by the database, the rest here, page by page: summaries are opaque to SQL.
    pub(super) async fn select(
        &self,
        prefix: &str,
        filter: &Filter,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        let (end, limit) = (prefix_end(prefix), page_limit(limit));
        let like = TextMatch::like(filter.name(), prefix);
        let what = "list what matches";
        if has_nul(prefix) || has_nul(&like) {
            return Ok(Listing::default());
        }
        if filter.is_by_name() {
            let parameters: [&(dyn ToSql + Sync); 5] =
                [&prefix, &end, &sql_count(skip), &sql_count(limit), &like];
            let rows = Self::query(&self.scans, what, SELECT_BY_NAME, &parameters).await?;
            return listing(&rows);
        }
        let mut found = Listing::default();
        let mut after = String::new();
        loop {
            let parameters: [&(dyn ToSql + Sync); 5] =
                [&prefix, &after, &end, &sql_count(SELECTED_ROWS), &like];
            let rows = Self::query(&self.scans, what, LIST_BY_NAME, &parameters).await?;
            for row in &rows {
                let name = &column::<&str>(row, 1)?[prefix.len()..];
                if filter.matches(name, column(row, 2)?) {
                    found.add(skip, limit, || entry(row, 1))?;
                }
            }
            match rows.last() {
                Some(last) if rows.len() == SELECTED_ROWS => {
                    after = column::<&str>(last, 1)?.to_owned();
                }
                _ => return Ok(found),
            }
        }
    }

    pub(super) async fn get_and_list(
        &self,
        keys: &[Key],
        prefixes: &[String],
        limit: usize,
    ) -> Result<(Vec<Option<Entry>>, Vec<Page>), Fault> {
        let (names, limit) = (names(keys), page_limit(limit));
        let ends: Vec<String> = prefixes.iter().map(|prefix| prefix_end(prefix)).collect();
        let parameters: [&(dyn ToSql + Sync); 4] = [&names, &prefixes, &ends, &one_more(limit)];
        let what = "get several and list";
        let rows = Self::query(&self.scans, what, GET_AND_LIST, &parameters).await?;
        let mut pages = vec![Vec::new(); prefixes.len()];
        let mut found = Vec::new();
        let mut head = Revision(0);
        for row in &rows {
            head = revision(column(row, 0)?);
            // NULL if nothing was found at all.
            match column::<Option<i64>>(row, 1)? {
                None => {}
                Some(0) => found.push(entry(row, 2)?),
                Some(part) => {
                    let index = usize::try_from(part - 1).unwrap_or(usize::MAX);
                    if let Some(page) = pages.get_mut(index) {
                        page.push(entry(row, 2)?);
                    }
                }
            }
        }
        let pages = pages.into_iter().map(|entries| cut(entries, limit, head));
        Ok((in_order(keys, found), pages.collect()))
    }

    pub(super) async fn changes(
        &self,
        after: Revision,
        prefixes: &[&str],
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        let limit = page_limit(limit);
        let mut most = limit.saturating_mul(2).max(SCANNED_ROWS_MIN);
        loop {
            let from = after.0.cast_signed();
            let parameters: [&(dyn ToSql + Sync); 3] = [&from, &prefixes, &sql_count(most)];
            let what = "read the change feed";
            let rows = Self::query(&self.scans, what, CHANGES, &parameters).await?;
            let Some(first) = rows.first() else {
                return Err(Fault::new("read the change feed: there is no log").into());
            };
            let (head, compacted) = (revision(column(first, 0)?), revision(column(first, 1)?));
            if after < compacted || !column::<bool>(first, 2)? {
                return Err(ChangesError::Compacted { oldest: compacted });
            }
            if let Some(changes) = whole_commits(&rows, (after, head), limit, most)? {
                return Ok(changes);
            }
            // One commit is larger than that.
            most = most.saturating_mul(2);
        }
    }

    pub(super) async fn head(session: &Session) -> Result<Revision, SqlError> {
        let row = session.client.query_one(HEAD, &[]);
        let row = timeout(STATEMENT_TIMEOUT, row)
            .await
            .map_err(|_| SqlError::TimedOut(STATEMENT_TIMEOUT))??;
        Ok(revision(row.try_get(0)?))
    }

    /// Removes at most `most` keys that expired; returns how many.
    pub(super) async fn sweep(
        &self,
        now_ms: i64,
        most: i32,
        kept_deletes: i64,
    ) -> Result<i32, Fault> {
        let parameters: [&(dyn ToSql + Sync); 3] = [&now_ms, &most, &kept_deletes];
        let what = "remove expired keys and old deletes";
        let rows = Self::query(&self.scans, what, SWEEP, &parameters).await?;
        rows.first().map_or(Ok(0), |row| column(row, 0))
    }
}

/// An error says whether another attempt would be useless.
async fn attempt_query(
    pool: &Pool<Sessions>,
    sql: &'static str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, (Fault, bool)> {
    const WHAT: &str = "read";
    let session = timeout(STATEMENT_TIMEOUT, pool.get()).await;
    let mut session = match session {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return Err((Fault::of(WHAT)(error), false)),
        Err(_) => {
            return Err((
                Fault::of(WHAT)(SqlError::TimedOut(STATEMENT_TIMEOUT)),
                false,
            ));
        }
    };
    let error = match timeout(STATEMENT_TIMEOUT, session.query(sql, parameters)).await {
        Ok(Ok(rows)) if session.generation == pool.manager().0.generation() => return Ok(rows),
        Ok(Ok(_)) => SqlError::Superseded,
        Ok(Err(error)) => SqlError::from(error),
        Err(_) => SqlError::TimedOut(STATEMENT_TIMEOUT),
    };
    let code = error.code().map(|code| code.code().to_owned());
    let is_refusal =
        code.is_some_and(|code| !["08", "25", "40", "53", "55", "57"].contains(&&code[..2]));
    if !is_refusal {
        drop(managed::Object::take(session));
    }
    Err((Fault::of(WHAT)(error), is_refusal))
}
