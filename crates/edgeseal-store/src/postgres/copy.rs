//! A database as the source or target of a copy.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use edgeseal_core::{Backoff, Timestamp};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::{Row as SqlRow, types::ToSql};

use super::{
    PostgresUrl,
    connect::{Connector, Session, SqlError},
    schema,
};
use crate::{
    ChangesError, Fault, Key, Revision,
    copy::{
        ChangeCursor, CopyMarker, CopySide, CopySource, CopyTarget, ROW_BYTES_MAX, ROWS_MAX, Row,
        Rows, Table,
    },
    open::lineage_step,
};

mod statements;

use statements::Columns;

/// A database that is copied or copied into, beside its other users.
pub struct PostgresCopy {
    name: String,
    connector: Connector,
    session: Mutex<Option<Session>>,
    /// Steps of this run that the target has acknowledged.
    steps: AtomicI64,
    /// Whether all is read at one moment, on one connection.
    is_snapshot: bool,
}

/// How long a statement may take, a page of a listing or the count of all rows.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a database that is unreachable is waited for.
const OUTAGE_MAX: Duration = Duration::from_secs(60);
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(2));

const MARKER: &str = "SELECT value FROM entry WHERE key = 'meta/copy' AND value IS NOT NULL";

impl PostgresCopy {
    /// A database that is copied: its tables must be there.
    ///
    /// # Errors
    /// A [`Fault`] if no server takes writes, or the tables are those of another release.
    pub async fn source(url: PostgresUrl) -> Result<Self, Fault> {
        let opened = Self::new(url, false)?;
        opened.check_schema().await?;
        Ok(opened)
    }

    /// As [`source`](Self::source), read at one moment, which begins now: the database keeps what its
    /// writers replace until this is dropped, and nobody waits for it.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub async fn snapshot(url: PostgresUrl) -> Result<Self, Fault> {
        let opened = Self::new(url, true)?;
        opened.check_schema().await?;
        Ok(opened)
    }

    /// A database that is copied into: its tables are created.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub async fn target(url: PostgresUrl) -> Result<Self, Fault> {
        let opened = Self::new(url, false)?;
        let session = opened.connect().await.map_err(Fault::of(REACH))?;
        schema::migrate(&session.client, &opened.connector.url.schema)
            .await
            .map_err(Fault::of("prepare the tables"))?;
        *opened.session.lock().await = Some(session);
        Ok(opened)
    }

    fn new(url: PostgresUrl, is_snapshot: bool) -> Result<Self, Fault> {
        Ok(Self {
            name: url.name(),
            connector: Connector::new(url).map_err(Fault::of("prepare TLS for the database"))?,
            session: Mutex::new(None),
            steps: AtomicI64::new(0),
            is_snapshot,
        })
    }

    async fn check_schema(&self) -> Result<(), Fault> {
        let session = self.connect().await.map_err(Fault::of(REACH))?;
        schema::check(&session.client, &self.connector.url.schema)
            .await
            .map_err(Fault::of("read the tables"))?;
        *self.session.lock().await = Some(session);
        Ok(())
    }

    async fn connect(&self) -> Result<Session, SqlError> {
        let session = self.connector.connect().await;
        let session = session.map_err(|error| SqlError::Unreachable(error.into()))?;
        let patience = STATEMENT_TIMEOUT.as_millis();
        let begin = match self.is_snapshot {
            true => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            false => "",
        };
        let settings = format!(
            "SET statement_timeout = {patience};
             SET idle_in_transaction_session_timeout = {patience};
             {begin}"
        );
        session.client.batch_execute(&settings).await?;
        Ok(session)
    }

    /// Runs a statement that may be repeated, also if it is not known whether it was done.
    async fn query(
        &self,
        what: &'static str,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<SqlRow>, Fault> {
        let until = Instant::now() + OUTAGE_MAX;
        let mut session = self.session.lock().await;
        for attempt in 0.. {
            let error = match self.attempt(&mut session, sql, parameters).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            let code = error.code().map(|code| code.code().to_owned());
            let is_refused = code
                .is_some_and(|code| !["08", "25", "40", "53", "55", "57"].contains(&&code[..2]));
            // The moment of a snapshot ends with its connection.
            if is_refused || self.is_snapshot || Instant::now() >= until {
                return Err(Fault::of(what)(error));
            }
            tracing::warn!(error = %error, attempt, "a step of the copy is repeated");
            sleep(BACKOFF.delay(attempt)).await;
        }
        unreachable!("attempts end with the time")
    }

    async fn attempt(
        &self,
        session: &mut Option<Session>,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<SqlRow>, SqlError> {
        // Taken out: one whose statement failed or was given up is not used again.
        let connected = match session.take().filter(|it| !it.client.is_closed()) {
            Some(connected) => connected,
            None if self.is_snapshot => {
                return Err(SqlError::Unreachable("the connection has ended".into()));
            }
            None => self.connect().await?,
        };
        let rows = timeout(STATEMENT_TIMEOUT, connected.client.query(sql, parameters))
            .await
            .map_err(|_| SqlError::TimedOut(STATEMENT_TIMEOUT))??;
        if connected.take_warning() {
            return Err(SqlError::Warned);
        }
        *session = Some(connected);
        Ok(rows)
    }

    fn next_step(&self) -> i64 {
        self.steps.load(Ordering::Acquire) + 1
    }

    /// A step of a run, which another one may have taken over.
    async fn step(
        &self,
        what: &'static str,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<(), Fault> {
        let rows = self.query(what, sql, parameters).await?;
        match rows.first().map(|row| row.try_get::<_, i64>(0)) {
            Some(Ok(1)) => Ok(()),
            Some(Err(error)) => Err(Fault::of(what)(error)),
            _ => Err(Fault::new("write the copy: another run has taken it over")),
        }
    }
}

#[async_trait]
impl CopySide for PostgresCopy {
    fn name(&self) -> &str {
        &self.name
    }

    async fn count(&self, table: Table) -> Result<u64, Fault> {
        const WHAT: &str = "count the records";
        let columns = Columns::of(table);
        let is_row = columns.is_row;
        let table = columns.table;
        let sql = format!("SELECT count(*) FROM {table} WHERE value IS NOT NULL AND {is_row}");
        let rows = self.query(WHAT, &sql, &[]).await?;
        let count = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0));
        count.map(i64::cast_unsigned).map_err(Fault::of(WHAT))
    }

    async fn rows(&self, table: Table, after: Option<&Key>) -> Result<Rows, Fault> {
        let (sql, after) = (Columns::of(table).rows(), after.map_or("", Key::as_str));
        let parameters: [&(dyn ToSql + Sync); 3] = [&after, &rows_max(), &bytes_max()];
        page(self.query("list the records", &sql, &parameters).await?)
    }

    async fn rows_of(&self, table: Table, keys: &[Key]) -> Result<Vec<Row>, Fault> {
        let sql = Columns::of(table).rows_of();
        let keys: Vec<&str> = keys.iter().map(Key::as_str).collect();
        Ok(page(self.query("read records", &sql, &[&keys]).await?)?.rows)
    }

    async fn marker(&self) -> Result<Option<CopyMarker>, Fault> {
        const WHAT: &str = "read the marker of the copy";
        let rows = self.query(WHAT, MARKER, &[]).await?;
        let value = rows.first().map(|row| row.try_get::<_, &[u8]>(0));
        let value = value.transpose().map_err(Fault::of(WHAT))?;
        value.map(CopyMarker::parse).transpose()
    }
}

#[async_trait]
impl CopySource for PostgresCopy {
    async fn changed(&self, table: Table, after: &ChangeCursor) -> Result<Rows, ChangesError> {
        const WHAT: &str = "read what changed";
        let revision = after.revision.cast_signed();
        // Without a key, all of the commit lies before.
        let (from, key) = match &after.key {
            Some(key) => (revision, key.as_str()),
            None => (revision.saturating_add(1), ""),
        };
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&from, &key, &rows_max(), &revision, &bytes_max()];
        let rows = self
            .query(WHAT, &Columns::of(table).changed(), &parameters)
            .await?;
        let Some(first) = rows.first() else {
            return Err(Fault::new("read what changed: there is no log").into());
        };
        let bounds = || Ok::<_, tokio_postgres::Error>((first.try_get(5)?, first.try_get(6)?));
        let (compacted, is_issued): (i64, bool) = bounds().map_err(Fault::of(WHAT))?;
        // The logs are not compacted.
        if !is_issued || (table == Table::Entry && after.complete().0.cast_signed() < compacted) {
            let oldest = Revision(compacted.cast_unsigned());
            return Err(ChangesError::Compacted { oldest });
        }
        Ok(page(rows)?)
    }

    async fn set_marker(
        &self,
        expected: Option<&CopyMarker>,
        marker: Option<&CopyMarker>,
    ) -> Result<Revision, Fault> {
        const WHAT: &str = "write the marker of the copy";
        let encode = |it: Option<&CopyMarker>| it.map(CopyMarker::encode).transpose();
        let (expected, marker) = (encode(expected)?, encode(marker)?);
        let parameters: [&(dyn ToSql + Sync); 2] = [&expected.as_deref(), &marker.as_deref()];
        let sql = "SELECT set_copy_marker_1($1, $2)";
        let rows = self.query(WHAT, sql, &parameters).await?;
        let revision = rows.first().map(|row| row.try_get::<_, Option<i64>>(0));
        let revision = revision.transpose().map_err(Fault::of(WHAT))?.flatten();
        let revision = revision.map(|it| Revision(it.cast_unsigned()));
        revision.ok_or_else(|| Fault::new("write the marker of the copy: it has another one"))
    }
}

#[async_trait]
impl CopyTarget for PostgresCopy {
    async fn begin(&self, before: Option<&CopyMarker>, marker: &CopyMarker) -> Result<(), Fault> {
        let before = before.map(CopyMarker::encode).transpose()?;
        let marker = marker.encode()?;
        let parameters: [&(dyn ToSql + Sync); 2] = [&before.as_deref(), &&marker[..]];
        let sql = "SELECT begin_copy_1($1, $2)::integer::bigint";
        self.step("begin the copy", sql, &parameters).await?;
        self.steps.store(0, Ordering::Release);
        Ok(())
    }

    async fn clear(&self, marker: &CopyMarker) -> Result<(), Fault> {
        let value = marker.encode()?;
        let step = self.next_step();
        let parameters: [&(dyn ToSql + Sync); 3] = [&&value[..], &marker.run(), &step];
        let sql = "SELECT clear_copy_1($1, $2, $3)::integer::bigint";
        self.step("clear the copy", sql, &parameters).await?;
        self.steps.store(step, Ordering::Release);
        Ok(())
    }

    async fn load(&self, table: Table, rows: &[Row], marker: &CopyMarker) -> Result<(), Fault> {
        let value = marker.encode()?;
        let deleted = rows.iter().filter(|row| row.value.is_none());
        let deleted: Vec<&str> = deleted.map(|row| row.key.as_str()).collect();
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        let (mut changed, mut expires) = (Vec::new(), Vec::new());
        for row in rows {
            if let Some(value) = &row.value {
                keys.push(row.key.as_str());
                values.push(&value[..]);
                changed.push(row.changed.0.cast_signed());
                expires.push(row.expires.map(Timestamp::unix_ms));
            }
        }
        let step = self.next_step();
        let parameters: [&(dyn ToSql + Sync); 8] = [
            &&value[..],
            &marker.run(),
            &step,
            &deleted,
            &keys,
            &values,
            &changed,
            &expires,
        ];
        self.step("write the copy", &Columns::of(table).load(), &parameters)
            .await?;
        self.steps.store(step, Ordering::Release);
        Ok(())
    }

    async fn finish(&self, marker: &CopyMarker, above: Revision) -> Result<(), Fault> {
        let (above, leap) = (above.0.cast_signed(), lineage_step().cast_signed());
        let parameters: [&(dyn ToSql + Sync); 3] = [&marker.run(), &above, &leap];
        let sql = "SELECT finish_copy_1($1, $2, $3)::integer::bigint";
        self.step("finish the copy", sql, &parameters).await
    }

    async fn analyze(&self) -> Result<(), Fault> {
        let analyzed = self.query("analyze the tables", "ANALYZE entry, audit, history", &[]);
        analyzed.await.map(drop)
    }
}

const REACH: &str = "reach the database";

fn rows_max() -> i64 {
    ROWS_MAX as i64
}

fn bytes_max() -> i64 {
    ROW_BYTES_MAX as i64
}

/// Rows of five columns: the head, and a row or NULL.
fn page(rows: Vec<SqlRow>) -> Result<Rows, Fault> {
    const WHAT: &str = "read a record";
    let mut page = Rows::default();
    for row in &rows {
        let head: Option<i64> = row.try_get(0).map_err(Fault::of(WHAT))?;
        page.head = Revision(head.unwrap_or(0).cast_unsigned());
        if let Some(row) = record(row).map_err(Fault::of(WHAT))? {
            page.rows.push(row);
        }
    }
    Ok(page)
}

fn record(row: &SqlRow) -> Result<Option<Row>, tokio_postgres::Error> {
    let Some(key) = row.try_get::<_, Option<&str>>(1)? else {
        return Ok(None);
    };
    let value: Option<&[u8]> = row.try_get(2)?;
    let expires: Option<i64> = row.try_get(4)?;
    Ok(Some(Row {
        key: Key::from_stored(key),
        value: value.map(Bytes::copy_from_slice),
        changed: Revision(row.try_get::<_, i64>(3)?.cast_unsigned()),
        expires: expires.map(Timestamp::from_unix_ms),
    }))
}
