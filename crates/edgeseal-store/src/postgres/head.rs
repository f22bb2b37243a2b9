//! Follows the head of the log: woken by notifications, and by a look once a second.

use std::{sync::Arc, time::Duration};

use edgeseal_core::Backoff;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
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

/// How long a server that other ones can replace may take to show that it still commits.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);

/// Never returns; dropped with the store.
pub(super) async fn follow(connector: Arc<Connector>, head: Arc<watch::Sender<Revision>>) {
    let mut failures = 0;
    loop {
        let generation = connector.generation();
        let error = match connector.connect().await {
            Ok(session) => {
                let host = session.host;
                match listen(session, (&connector, generation), &head, &mut failures).await {
                    Ok(never) => match never {},
                    Err(SqlError::Superseded) => continue,
                    Err(error) => {
                        // What it says may be old, here and to readers.
                        connector.distrust(host);
                        connector.next_generation();
                        error.to_string()
                    }
                }
            }
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
    (connector, generation): (&Connector, u64),
    head: &watch::Sender<Revision>,
    failures: &mut u32,
) -> Result<std::convert::Infallible, SqlError> {
    let can_be_replaced = connector.url.hosts.len() > 1;
    confirm(&session, STATEMENT_TIMEOUT).await?;
    let mut confirmed = Instant::now();
    let channel = async {
        let channel = "SELECT quote_ident(current_schema())";
        let channel = session.client.query_one(channel, &[]).await?;
        let channel: String = channel.try_get(0)?;
        let listen = format!("LISTEN {channel}");
        session.client.batch_execute(&listen).await
    };
    timeout(STATEMENT_TIMEOUT, channel)
        .await
        .map_err(|_| SqlError::TimedOut(STATEMENT_TIMEOUT))??;
    loop {
        if connector.generation() != generation {
            return Err(SqlError::Superseded);
        }
        if can_be_replaced && confirmed.elapsed() >= LOOK_INTERVAL {
            confirm(&session, CONFIRM_TIMEOUT).await?;
            confirmed = Instant::now();
        }
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

/// Waits until the server has committed something, with its standbys if it has to. After a crash it
/// shows commits that they may not have yet, and after a fail-over the old one goes on to answer reads.
async fn confirm(session: &Session, most: Duration) -> Result<(), SqlError> {
    // A lock is written to the log, so its transaction waits like any other.
    let commit = session
        .client
        .execute("SELECT FROM write_lock FOR UPDATE", &[]);
    timeout(most, commit)
        .await
        .map_err(|_| SqlError::TimedOut(most))??;
    match session.take_warning() {
        true => Err(SqlError::Warned),
        false => Ok(()),
    }
}
