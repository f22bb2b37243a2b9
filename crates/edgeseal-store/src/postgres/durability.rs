//! Whether what the database acknowledges can be lost.

use tokio::sync::watch;

use super::{
    PostgresUrl,
    connect::{Session, SqlError},
};

/// What the database says about itself.
pub(super) struct Durability {
    /// Whether it waits for the disk.
    fsync: bool,
    /// Whether another server may take over: it has standbys, or the URL names several servers.
    is_replicated: bool,
    /// `synchronous_standby_names`: empty if commits wait for no standby. Patroni may clear it at any
    /// time, so each commit reads it.
    standbys: watch::Receiver<String>,
}

const SETTINGS: &str = "
    SELECT current_setting('server_version'), current_setting('fsync') = 'on',
        (SELECT count(*) FROM pg_stat_replication), current_setting('synchronous_standby_names')";

impl Durability {
    /// Asks the server, and logs what it finds. `standbys` is where commits will report.
    pub(super) async fn look(
        session: &Session,
        url: &PostgresUrl,
        (report, standbys): (watch::Sender<String>, watch::Receiver<String>),
    ) -> Result<Self, SqlError> {
        let row = session.client.query_one(SETTINGS, &[]).await?;
        let (version, followers): (String, i64) = (row.try_get(0)?, row.try_get(2)?);
        let names: String = row.try_get(3)?;
        let found = Self {
            fsync: row.try_get(1)?,
            is_replicated: followers > 0 || url.hosts.len() > 1,
            standbys,
        };
        tracing::info!(
            database = %url,
            version,
            standbys = followers,
            synchronous_standby_names = names,
            "PostgreSQL is the store"
        );
        report.send_replace(names);
        if let Some(risk) = found.risk() {
            tracing::warn!(risk, "acknowledged changes can be lost");
        }
        Ok(found)
    }

    /// Why an acknowledged change could be lost.
    pub(super) fn risk(&self) -> Option<String> {
        let why = if !self.fsync {
            "fsync is off in PostgreSQL: a crash of its machine can lose acknowledged changes"
        } else if self.is_replicated && self.standbys.borrow().is_empty() {
            "PostgreSQL waits for no standby (synchronous_standby_names is empty): a fail-over can lose \
             acknowledged changes"
        } else {
            return None;
        };
        Some(why.to_owned())
    }
}
