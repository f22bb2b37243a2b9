//! What a database says about itself, for the doctor.

use std::{sync::Arc, time::Duration};

use edgeseal_core::Timestamp;
use tokio::time::timeout;

use super::{
    PostgresUrl,
    connect::{Connector, SqlError},
    reports, schema,
    writer::CLOCK_DIFFERENCE_MAX,
};
use crate::{Fault, copy::CopyMarker, nodes::NodeList};

/// See [`examine`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseHealth {
    /// The version of the server.
    pub version: String,
    /// Whether the connection is encrypted and the server verified.
    pub is_tls: bool,
    /// Whether all hosts of the URL are on this machine.
    pub is_local: bool,
    /// Whether a crash of its machine loses acknowledged changes.
    pub fsync: bool,
    /// Connected standbys.
    pub standbys: i64,
    /// `synchronous_standby_names`: empty if commits wait for no standby.
    pub synchronous_standby_names: String,
    /// Hosts in the URL.
    pub hosts: usize,
    /// By how much the clock of this machine is ahead of the database's, in milliseconds.
    pub clock_ahead_ms: i64,
    /// The difference from which on changes are refused, in milliseconds.
    pub clock_difference_max_ms: i64,
    /// Servers that are connected to write.
    pub servers: i64,
    /// Nodes that report themselves, or did within the last hour.
    pub nodes: NodeList,
    /// Seconds since the oldest transaction in the database began: no dead row younger than it is
    /// removed.
    pub oldest_transaction_s: i64,
    /// Rows of the table of records that are dead, in percent.
    pub dead_percent: i64,
    /// Bytes of all tables and indexes.
    pub bytes: i64,
    /// Why the store takes no changes, if it takes none.
    pub marker: Option<CopyMarker>,
}

const SQL: &str = "
    SELECT current_setting('server_version'),
        current_setting('fsync') = 'on',
        (SELECT count(*) FROM pg_stat_replication),
        current_setting('synchronous_standby_names'),
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
        (SELECT count(*) FROM writer JOIN pg_stat_activity active
            ON active.pid = writer.pid AND active.datname = current_database()),
        (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)::bigint
            FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()),
        (SELECT coalesce(100 * n_dead_tup / nullif(n_live_tup + n_dead_tup, 0), 0)
            FROM pg_stat_user_tables WHERE relid = 'entry'::regclass),
        (SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
            WHERE relkind = 'r' AND relnamespace = (
                SELECT relnamespace FROM pg_class WHERE oid = 'entry'::regclass)),
        (SELECT value FROM entry WHERE key = 'meta/copy' AND value IS NOT NULL)";
/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks the database how it is, without changing anything.
///
/// # Errors
/// A [`Fault`] if no server takes writes, or if it holds no store of this release.
pub async fn examine(url: &PostgresUrl, clock: fn() -> Timestamp) -> Result<DatabaseHealth, Fault> {
    let connector =
        Connector::new(url.clone()).map_err(Fault::of("prepare TLS for the database"))?;
    timeout(TIMEOUT, look(&connector, clock))
        .await
        .map_err(Fault::of("examine the database"))?
}

async fn look(connector: &Connector, clock: fn() -> Timestamp) -> Result<DatabaseHealth, Fault> {
    let url = &connector.url;
    let session = connector.connect().await;
    let session = session.map_err(Fault::of("reach the database"))?;
    let client = Arc::clone(&session.client);
    let checked = schema::check(&client, &url.schema).await;
    checked.map_err(Fault::of("read the tables"))?;
    let look = async {
        let before = clock();
        let row = client.query_one(SQL, &[]).await?;
        // Half of the round trip passed before the server looked at its clock.
        let now_ms = i64::midpoint(before.unix_ms(), clock().unix_ms());
        let marker: Option<Vec<u8>> = row.try_get(9)?;
        Ok::<_, tokio_postgres::Error>((
            DatabaseHealth {
                version: row.try_get(0)?,
                is_tls: url.tls.is_some(),
                is_local: url.is_local(),
                fsync: row.try_get(1)?,
                standbys: row.try_get(2)?,
                synchronous_standby_names: row.try_get(3)?,
                hosts: url.hosts.len(),
                clock_ahead_ms: now_ms - row.try_get::<_, i64>(4)?,
                clock_difference_max_ms: CLOCK_DIFFERENCE_MAX.as_millis() as i64,
                servers: row.try_get(5)?,
                nodes: NodeList::default(),
                oldest_transaction_s: row.try_get(6)?,
                dead_percent: row.try_get(7)?,
                bytes: row.try_get(8)?,
                marker: None,
            },
            marker,
            client.query(reports::READ, &[]).await?,
        ))
    };
    let (mut health, marker, reports) = look
        .await
        .map_err(|error| Fault::of("examine the database")(SqlError::from(error)))?;
    health.nodes = NodeList::of(&reports::snapshot(&reports)?);
    health.marker = marker.map(|it| CopyMarker::parse(&it)).transpose()?;
    Ok(health)
}
