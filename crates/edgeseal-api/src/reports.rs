//! News of what edges serve: one follower for all callers who wait, and none while nobody does.

use std::{sync::Arc, time::Duration};

use edgeseal_store::{Catalog, ChangesError, Fault, Revision, key};
use tokio::sync::{Notify, watch};

use crate::operation::causes;

/// Where callers wait for news.
pub(crate) struct Reports {
    news: watch::Receiver<u64>,
    somebody_waits: Arc<Notify>,
}

impl Reports {
    /// A place to wait, and the task that brings the news; it ends with the place.
    pub(crate) fn new(catalog: Catalog) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (bell, news) = watch::channel(0);
        let somebody_waits = Arc::new(Notify::new());
        let follower = follow(catalog, bell, Arc::clone(&somebody_waits));
        let reports = Self {
            news,
            somebody_waits,
        };
        (reports, follower)
    }

    /// Rings whenever an edge may have reported since this call.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        let mut news = self.news.clone();
        news.mark_unchanged();
        self.somebody_waits.notify_one();
        news
    }
}

async fn follow(catalog: Catalog, bell: watch::Sender<u64>, somebody_waits: Arc<Notify>) {
    // Fails once the store does; a later waiter begins anew.
    const REST: Duration = Duration::from_secs(1);
    loop {
        tokio::select! {
            () = bell.closed() => return,
            () = somebody_waits.notified() => {}
        }
        if let Err(fault) = while_somebody_waits(&catalog, &bell).await {
            tracing::warn!(why = causes(&fault), "cannot follow the edges' reports");
            tokio::time::sleep(REST).await;
        }
    }
}

async fn while_somebody_waits(catalog: &Catalog, bell: &watch::Sender<u64>) -> Result<(), Fault> {
    let store = catalog.store();
    let mut seen: Revision = store.list(key::EDGES, None, 1).await?.revision;
    // What came before the follower began may be news to who waits.
    bell.send_modify(|rung| *rung += 1);
    // One receiver is the place itself.
    while bell.receiver_count() > 1 {
        let changes = store.changes(seen, &[key::EDGES], 1000);
        match tokio::time::timeout(Duration::from_secs(1), changes).await {
            Err(_) => {}
            Ok(Ok(changes)) => {
                seen = changes.through;
                if !changes.items.is_empty() {
                    bell.send_modify(|rung| *rung += 1);
                }
            }
            Ok(Err(ChangesError::Compacted { .. })) => {
                seen = store.list(key::EDGES, None, 1).await?.revision;
                bell.send_modify(|rung| *rung += 1);
            }
            Ok(Err(ChangesError::Fault(fault))) => return Err(fault),
        }
    }
    Ok(())
}
