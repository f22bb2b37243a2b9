//! Reports of edges: one table, shared by all waiting callers and updated by one task. There is no
//! table while no caller waits.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use edgeseal_store::{
    Catalog, ChangesError, Fault, Key, PAGE_MAX, Pages, Revision, key,
    record::{self, EdgeRecord},
};
use tokio::sync::{Notify, watch};

use crate::error::error_chain;

/// The last report of each edge; `None` while unknown.
pub(crate) type EdgeTable = Option<Arc<Vec<EdgeRecord>>>;

/// Where callers subscribe to reports.
pub(crate) struct EdgeReports {
    table: watch::Receiver<EdgeTable>,
    subscribed: Arc<Notify>,
}

impl EdgeReports {
    /// Creates the table and the task that updates it; the task ends when the table is dropped.
    pub(crate) fn new(catalog: Catalog) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, table) = watch::channel(None);
        let somebody_waits = Arc::new(Notify::new());
        let follower = run(catalog, sender, Arc::clone(&somebody_waits));
        let reports = Self {
            table,
            subscribed: somebody_waits,
        };
        (reports, follower)
    }

    /// The reports as they change, while the receiver exists.
    pub(crate) fn subscribe(&self) -> watch::Receiver<EdgeTable> {
        let table = self.table.clone();
        self.subscribed.notify_one();
        table
    }
}

async fn run(catalog: Catalog, table: watch::Sender<EdgeTable>, somebody_waits: Arc<Notify>) {
    // After the store failed, pause; the next subscriber starts again.
    const RETRY_DELAY: Duration = Duration::from_secs(1);
    loop {
        tokio::select! {
            () = table.closed() => return,
            () = somebody_waits.notified() => {}
        }
        let followed = watch_while_subscribed(&catalog, &table).await;
        // From here on the table is stale.
        table.send_replace(None);
        if let Err(fault) = followed {
            tracing::warn!(error = error_chain(&fault), "cannot watch edge reports");
            tokio::time::sleep(RETRY_DELAY).await;
            if table.receiver_count() > 1 {
                somebody_waits.notify_one();
            }
        }
    }
}

async fn watch_while_subscribed(
    catalog: &Catalog,
    table: &watch::Sender<EdgeTable>,
) -> Result<(), Fault> {
    let (mut reports, mut seen) = list(catalog).await?;
    publish(table, &reports);
    // One receiver is the table's own.
    while table.receiver_count() > 1 {
        let changes = catalog.store().changes(seen, &[key::EDGES], 1000);
        match tokio::time::timeout(Duration::from_secs(1), changes).await {
            Err(_) => {}
            Ok(Ok(changes)) => {
                seen = changes.through;
                let quiet = changes.items.is_empty();
                for change in changes.items {
                    match change.value {
                        Some(value) => reports.insert(change.key, record::decode(&value)?),
                        None => reports.remove(&change.key),
                    };
                }
                if !quiet {
                    publish(table, &reports);
                }
            }
            Ok(Err(ChangesError::Compacted { .. })) => {
                (reports, seen) = list(catalog).await?;
                publish(table, &reports);
            }
            Ok(Err(ChangesError::Fault(fault))) => return Err(fault),
        }
    }
    Ok(())
}

async fn list(catalog: &Catalog) -> Result<(BTreeMap<Key, EdgeRecord>, Revision), Fault> {
    let mut pages = Pages::new(&**catalog.store(), key::EDGES, PAGE_MAX);
    let entries = pages.collect().await?.into_iter();
    let reports = entries.map(|entry| Ok((entry.key, record::decode(&entry.value)?)));
    Ok((reports.collect::<Result<_, Fault>>()?, pages.revision()))
}

fn publish(table: &watch::Sender<EdgeTable>, reports: &BTreeMap<Key, EdgeRecord>) {
    let reports = reports.values().cloned().collect();
    table.send_replace(Some(Arc::new(reports)));
}

#[cfg(test)]
mod tests;
