//! Checks a PostgreSQL database: whether it is reached safely, loses nothing, and is in order.

use edgeseal_store::postgres::{self, DatabaseHealth, PostgresUrl};

use super::{Report, judge_marker, nodes};
use crate::{clock, error_chain::error_chain};

/// A transaction that is open for so long keeps dead rows from being removed.
const LONG_TRANSACTION_S: i64 = 3600;
/// So many dead rows slow listings down.
const DEAD_PERCENT: i64 = 50;

pub(super) async fn examine(url: &PostgresUrl, report: &mut Report) {
    match postgres::examine(url, clock::now).await {
        Ok(health) => {
            judge(url, &health, report);
            nodes::judge(&health.nodes, report);
        }
        // That it cannot be read is reported with the store.
        Err(fault) => tracing::debug!(error = error_chain(&fault), "the database is not examined"),
    }
}

fn judge(url: &PostgresUrl, health: &DatabaseHealth, report: &mut Report) {
    let tls = match (health.is_tls, health.is_local) {
        (true, _) => "over TLS",
        (false, true) => "on this machine",
        (false, false) => "without TLS",
    };
    report.checked(format!(
        "PostgreSQL {} {tls}, {} standbys, {} servers, {} MB, clock {} ms apart",
        health.version,
        health.standbys,
        health.servers,
        health.bytes / 1_000_000,
        health.clock_ahead_ms.abs(),
    ));
    // The copy of the database that the other checks read has none.
    judge_marker(health.marker.as_ref(), report);
    if !health.is_tls && !health.is_local {
        report.warning(
            format!("{url}: the connection is neither encrypted nor verified"),
            "use sslmode=verify-full",
        );
    }
    if !health.fsync {
        report.problem(
            "fsync is off in PostgreSQL: a crash of its machine can lose acknowledged changes"
                .to_owned(),
            "set fsync = on",
        );
    }
    let is_replicated = health.standbys > 0 || health.hosts > 1;
    if is_replicated && health.synchronous_standby_names.is_empty() {
        report.warning(
            "PostgreSQL waits for no standby: a fail-over can lose acknowledged changes".to_owned(),
            "set synchronous_standby_names; with Patroni synchronous_mode and synchronous_mode_strict",
        );
    }
    let apart = health.clock_ahead_ms.abs();
    if apart > health.clock_difference_max_ms {
        report.problem(
            format!("the clock of this machine is {apart} ms from that of the database: changes are refused"),
            "synchronize both clocks",
        );
    } else if apart > health.clock_difference_max_ms / 10 {
        report.warning(
            format!("the clock of this machine is {apart} ms from that of the database"),
            "synchronize both clocks",
        );
    }
    if health.oldest_transaction_s > LONG_TRANSACTION_S {
        report.warning(
            format!(
                "a transaction in the database is open since {} s: no row that was replaced since is removed",
                health.oldest_transaction_s
            ),
            "end it: SELECT pid, query FROM pg_stat_activity ORDER BY xact_start",
        );
    }
    if health.dead_percent > DEAD_PERCENT {
        report.warning(
            format!(
                "{} % of the rows in the table entry are dead",
                health.dead_percent
            ),
            "see that autovacuum runs",
        );
    }
}
