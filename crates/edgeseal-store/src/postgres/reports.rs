//! Reports of processes, in a table that is not logged.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use edgeseal_core::Timestamp;
use tokio_postgres::{Row, types::ToSql};

use super::{read::Readers, rows::column, schema};
use crate::{
    Fault, Revision,
    reports::{REPORT_KEPT_MS, Report, ReportSnapshot, Reports},
};

/// See [`Reports`].
pub(super) struct PostgresReports(pub(super) Arc<Readers>);

const EXCHANGE: &str = "SELECT process, value, age_ms, now_ms, head FROM report_1($1, $2, $3, $4)";
/// One row without a process if there are no reports.
pub(super) const READ: &str = "
    SELECT process, value, age_ms, coalesce(now_ms, (extract(epoch FROM clock_timestamp()) * 1000)::bigint),
        coalesce(head, (SELECT last FROM commits ORDER BY last DESC LIMIT 1), 0)
    FROM (SELECT) AS one LEFT JOIN reports ON true";
const WITHDRAW: &str = "DELETE FROM report WHERE process = $1";

#[async_trait]
impl Reports for PostgresReports {
    async fn exchange(&self, from: &str, report: &[u8]) -> Result<ReportSnapshot, Fault> {
        let what = "exchange reports";
        let known = schema::known();
        let parameters: [&(dyn ToSql + Sync); 4] = [&from, &known, &report, &REPORT_KEPT_MS];
        snapshot(&self.0.query_points(what, EXCHANGE, &parameters).await?)
    }

    async fn read(&self) -> Result<ReportSnapshot, Fault> {
        snapshot(&self.0.query_points("read reports", READ, &[]).await?)
    }

    async fn withdraw(&self, from: &str) -> Result<(), Fault> {
        let what = "withdraw a report";
        self.0.query_points(what, WITHDRAW, &[&from]).await?;
        Ok(())
    }
}

pub(super) fn snapshot(rows: &[Row]) -> Result<ReportSnapshot, Fault> {
    let first = rows
        .first()
        .ok_or(Fault::new("read reports: there is no row"))?;
    let now: i64 = column(first, 3)?;
    let head: i64 = column(first, 4)?;
    let mut reports = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(from) = column::<Option<String>>(row, 0)? else {
            continue;
        };
        reports.push(Report {
            from,
            value: Bytes::from(column::<Vec<u8>>(row, 1)?),
            age_ms: column(row, 2)?,
        });
    }
    Ok(ReportSnapshot {
        reports,
        now: Timestamp::from_unix_ms(now),
        head: Revision(head.cast_unsigned()),
    })
}
