//! Reads of the tables `audit` and `history`.

use std::collections::HashMap;

use bytes::Bytes;
use tokio_postgres::{Row, types::ToSql};

use super::{
    read::Readers,
    rows::{column, one_more, revision, sql_count},
};
use crate::{Fault, Log, LogPage, LogRange, LogRow, Revision, logs::AFTER_ALL_NAMES, page_limit};

/// A statement over rows of one of the tables, after the head of the log.
macro_rules! page_sql {
    ($table:literal, $rows:literal, $order:literal) => {
        concat!(
            "SELECT (SELECT last FROM commits ORDER BY last DESC LIMIT 1),
                page.scope, page.name, page.revision, page.value
            FROM (SELECT) AS one LEFT JOIN LATERAL (
                SELECT scope, name, revision, value FROM ",
            $table,
            " ",
            $rows,
            " ORDER BY ",
            $order,
            " LIMIT $4) AS page ON true ORDER BY page.",
            $order
        )
    };
}

/// The statements of one log.
struct Statements {
    forwards: &'static str,
    backwards: &'static str,
    get: &'static str,
    scopes: &'static str,
}

macro_rules! statements {
    ($table:literal) => {
        Statements {
            forwards: page_sql!(
                $table,
                "WHERE scope = $1 AND name > $2 AND name < $3",
                "name"
            ),
            backwards: page_sql!(
                $table,
                "WHERE scope = $1 AND name > $2 AND name < $3",
                "name DESC"
            ),
            get: concat!(
                "SELECT 0::bigint, scope, name, revision, value FROM ",
                $table,
                " WHERE scope = $1 AND name = ANY ($2)"
            ),
            // One step in the index for each scope, however many rows it has.
            scopes: concat!(
                "WITH RECURSIVE scopes (scope) AS (
                    SELECT (SELECT min(scope) FROM ",
                $table,
                " WHERE scope > $1 COLLATE \"C\")
                    UNION ALL
                    SELECT (SELECT min(scope) FROM ",
                $table,
                " WHERE scope > scopes.scope) FROM scopes WHERE scopes.scope IS NOT NULL
                ) SELECT scope FROM scopes WHERE scope IS NOT NULL LIMIT $2"
            ),
        }
    };
}

const AUDIT: Statements = statements!("audit");
const HISTORY: Statements = statements!("history");
const AUDIT_SINCE: &str = "
    SELECT (SELECT last FROM commits ORDER BY last DESC LIMIT 1),
        page.scope, page.name, page.revision, page.value
    FROM (SELECT) AS one LEFT JOIN LATERAL (
        SELECT scope, name, revision, value FROM audit
        WHERE revision > $1 ORDER BY revision LIMIT $2) AS page ON true
    ORDER BY page.revision";

const fn statements(log: Log) -> &'static Statements {
    match log {
        Log::Audit => &AUDIT,
        Log::History => &HISTORY,
    }
}

impl Readers {
    pub(super) async fn read_log(
        &self,
        range: LogRange<'_>,
        limit: usize,
    ) -> Result<LogPage, Fault> {
        let (statements, limit) = (statements(range.log), page_limit(limit));
        let sql = if range.newest_first {
            statements.backwards
        } else {
            statements.forwards
        };
        let before = range.before.unwrap_or(AFTER_ALL_NAMES);
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&range.scope, &range.after, &before, &one_more(limit)];
        page(
            &Self::query(&self.scans, "read a log", sql, &parameters).await?,
            limit,
        )
    }

    pub(super) async fn get_log_rows(
        &self,
        log: Log,
        scope: &str,
        names: &[String],
    ) -> Result<Vec<Option<LogRow>>, Fault> {
        let what = "get rows of a log";
        let rows = Self::query(&self.scans, what, statements(log).get, &[&scope, &names]).await?;
        let rows = page(&rows, usize::MAX)?.rows.into_iter();
        let found: HashMap<String, LogRow> = rows.map(|row| (row.name.clone(), row)).collect();
        Ok(names.iter().map(|name| found.get(name).cloned()).collect())
    }

    pub(super) async fn audit_since(
        &self,
        after: Revision,
        limit: usize,
    ) -> Result<LogPage, Fault> {
        let limit = page_limit(limit);
        let parameters: [&(dyn ToSql + Sync); 2] = [&after.0.cast_signed(), &one_more(limit)];
        let what = "read new audit records";
        page(
            &Self::query(&self.scans, what, AUDIT_SINCE, &parameters).await?,
            limit,
        )
    }

    pub(super) async fn log_scopes(
        &self,
        log: Log,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Fault> {
        let parameters: [&(dyn ToSql + Sync); 2] = [&after, &sql_count(page_limit(limit))];
        let what = "list the scopes of a log";
        let rows = Self::query(&self.scans, what, statements(log).scopes, &parameters).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }
}

/// A page of rows of which one more than `limit` was asked for.
fn page(rows: &[Row], limit: usize) -> Result<LogPage, Fault> {
    let mut page = LogPage::default();
    for row in rows {
        page.revision = revision(column(row, 0)?);
        // NULL if there are none.
        let Some(scope) = column(row, 1)? else { break };
        if page.rows.len() == limit {
            page.has_more = true;
            break;
        }
        page.rows.push(LogRow {
            scope,
            name: column(row, 2)?,
            revision: revision(column(row, 3)?),
            value: Bytes::copy_from_slice(column(row, 4)?),
        });
    }
    Ok(page)
}
