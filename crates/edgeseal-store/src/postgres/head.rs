//! Follows the head of the log: woken by notifications, and by a look once a second.

use std::{sync::Arc, time::Duration};

use edgeseal_core::Backoff;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    connect::{Connector, STATEMENT_TIMEOUT, Session, SqlError},
    read::Readers,
    writer::publish,
};
use crate::Revision;

/// How often the head is read although nobody sent a notification: those that do not arrive cost this
/// much.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(2));

/// Never returns; dropped with the store.
pub(super) async fn follow(connector: Arc<Connector>, head: Arc<watch::Sender<Revision>>) {
    let mut failures = 0;
    loop {
        let error = match connector.connect().await {
            Ok(session) => match listen(session, &head, &mut failures).await {
                Ok(never) => match never {},
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let delay = BACKOFF.delay(failures);
        failures = failures.saturating_add(1);
        tracing::warn!(
            error,
            failures,
            delay_ms = delay.as_millis() as u64,
            "the head of the log is not followed; trying again"
        );
        sleep(delay).await;
    }
}

async fn listen(
    mut session: Session,
    head: &watch::Sender<Revision>,
    failures: &mut u32,
) -> Result<std::convert::Infallible, SqlError> {
    let client = Arc::clone(&session.client);
    let begin = async {
        // After a crash the server shows commits that its standbys may not have yet. A transaction that
        // writes, as a lock does, waits for them.
        client
            .execute("SELECT FROM write_lock FOR UPDATE", &[])
            .await?;
        let channel = client.query_one("SELECT quote_ident(current_schema())", &[]);
        let channel: String = channel.await?.try_get(0)?;
        client.batch_execute(&format!("LISTEN {channel}")).await
    };
    timeout(STATEMENT_TIMEOUT, begin)
        .await
        .map_err(|_| SqlError::TimedOut(STATEMENT_TIMEOUT))??;
    if session.take_warning() {
        return Err(SqlError::Warned);
    }
    loop {
        let known = *head.borrow();
        let found = Readers::head(&session).await?;
        if found < known {
            // Known before it was read: a backup was put back, or a server lacks what another had.
            tracing::warn!(
                known = known.0,
                found = found.0,
                "the database went back; everything is listed again"
            );
            head.send_replace(found);
        } else {
            publish(head, found);
        }
        *failures = 0;
        if session.client.is_closed() {
            return Err(SqlError::TimedOut(STATEMENT_TIMEOUT));
        }
        // The number of a notification is not used: another copy of the database may have sent it.
        let _ = timeout(LOOK_INTERVAL, session.notified.changed()).await;
    }
}
