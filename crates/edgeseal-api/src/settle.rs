//! Step 9 of a call: waits for the edge in this process to apply a change, and for all edges to
//! prove it.

use std::time::Duration;

use edgeseal_core::{DomainPattern, domain::Environment};
use edgeseal_store::Revision;

use crate::context::Context;

/// Makes an edge prove these domains by a handshake once it has applied the commit, before its
/// other pending proofs.
pub type RequestProof = Box<dyn Fn(&[DomainPattern], Revision) + Send + Sync>;

impl Context {
    /// Waits until the edge in this process serves `revision`, or the settle timeout expires.
    pub async fn settle(&self, revision: Revision) {
        let Some(mut edge) = self.local_edge_revision.clone() else {
            return;
        };
        let served = edge.wait_for(|served| *served >= revision);
        if tokio::time::timeout(self.settings.settle_timeout, served)
            .await
            .is_err()
        {
            metrics::counter!("edgeseal_settle_timeouts_total").increment(1);
            tracing::warn!(
                store.revision = revision.0,
                "settle timeout: the local edge has not applied the change"
            );
        }
    }

    /// The number of live edges of `environment` that have proven `revision` for all of `domains`,
    /// once all have or `wait` expires, and the number of live edges. While no edge is known to be
    /// live, waits for the edge in this process: after a restart it has not reported yet. `None` if
    /// the store failed.
    pub async fn count_proven(
        &self,
        domains: &[DomainPattern],
        revision: Revision,
        environment: Environment,
        wait: Duration,
    ) -> Option<(usize, usize)> {
        if let Some(ask) = &self.request_proof {
            ask(domains, revision);
        }
        let wanted = (domains, revision, environment);
        let mut reports = self.reports.subscribe();
        let all_prove = async {
            loop {
                let known = reports.borrow_and_update().clone();
                if let Some(edges) = known {
                    let now = (self.clock)();
                    let counted = self.catalog.count_proven_in(&edges, wanted, now);
                    let (proven, live) = counted.await.ok()?;
                    let is_awaited = live == 0 && self.local_edge_environment == Some(environment);
                    if proven == live && !is_awaited {
                        return Some((proven, live));
                    }
                }
                reports.changed().await.ok()?;
            }
        };
        if let Ok(Some(all)) = tokio::time::timeout(wait, all_prove).await {
            return Some(all);
        }
        // However the wait ends, the current reports count.
        let (known, now) = (reports.borrow().clone(), (self.clock)());
        let counted = match known {
            Some(edges) => self.catalog.count_proven_in(&edges, wanted, now).await,
            None => {
                let proven = self
                    .catalog
                    .count_proven(domains, revision, environment, now);
                proven.await
            }
        };
        counted.ok()
    }
}
