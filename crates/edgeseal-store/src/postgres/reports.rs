//! Reports of processes, in a table that is not logged.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use edgeseal_core::Timestamp;
use tokio_postgres::{Row, types::ToSql};

use super::{read::Readers, rows::column, schema};
use crate::{
    Fault, Revision,
    reports::{Member, REPORT_KEPT_MS, Report, ReportSnapshot, Reports, RunId},
};

/// See [`Reports`].
pub(super) struct PostgresReports(pub(super) Arc<Readers>);

const EXCHANGE: &str = "
    SELECT process, run, value, age_ms, collected_ms, now_ms, head, is_replaced
    FROM report_1($1, $2, $3, $4, $5)";
/// One row without a process if there are none.
pub(super) const READ: &str = "
    SELECT process, run, value, age_ms, coalesce(collected_ms, 0),
        coalesce(now_ms, (extract(epoch FROM clock_timestamp()) * 1000)::bigint),
        coalesce(head, (SELECT last FROM commits ORDER BY last DESC LIMIT 1), 0), false
    FROM (SELECT) AS one LEFT JOIN reports ON true";
const WITHDRAW: &str = "SELECT withdraw_1($1, $2)";

#[async_trait]
impl Reports for PostgresReports {
    async fn exchange(
        &self,
        from: &str,
        run: RunId,
        report: &[u8],
    ) -> Result<ReportSnapshot, Fault> {
        let what = "exchange reports";
        let (run, known) = (run.0.cast_signed(), schema::known());
        let parameters: [&(dyn ToSql + Sync); 5] = [&from, &run, &known, &report, &REPORT_KEPT_MS];
        snapshot(&self.0.query_points(what, EXCHANGE, &parameters).await?)
    }

    async fn read(&self) -> Result<ReportSnapshot, Fault> {
        snapshot(&self.0.query_points("read reports", READ, &[]).await?)
    }

    async fn withdraw(&self, from: &str, run: RunId) -> Result<(), Fault> {
        let (what, run) = ("withdraw a report", run.0.cast_signed());
        self.0.query_points(what, WITHDRAW, &[&from, &run]).await?;
        Ok(())
    }
}

pub(super) fn snapshot(rows: &[Row]) -> Result<ReportSnapshot, Fault> {
    let first = rows
        .first()
        .ok_or(Fault::new("read reports: there is no row"))?;
    let mut snapshot = ReportSnapshot {
        members: Vec::with_capacity(rows.len()),
        replaced: None,
        collected_ms: column(first, 4)?,
        now: Timestamp::from_unix_ms(column(first, 5)?),
        head: Revision(column::<i64>(first, 6)?.cast_unsigned()),
    };
    for row in rows {
        let Some(name) = column::<Option<String>>(row, 0)? else {
            continue;
        };
        let report = report(row)?;
        if column(row, 7)? {
            snapshot.replaced = report;
        } else {
            snapshot.members.push(Member { name, report });
        }
    }
    Ok(snapshot)
}

fn report(row: &Row) -> Result<Option<Report>, Fault> {
    let Some(run) = column::<Option<i64>>(row, 1)? else {
        return Ok(None);
    };
    Ok(Some(Report {
        run: RunId(run.cast_unsigned()),
        value: Bytes::from(column::<Vec<u8>>(row, 2)?),
        age_ms: column(row, 3)?,
    }))
}
