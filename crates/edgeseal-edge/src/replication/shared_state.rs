//! What edges share besides domains: session-ticket keys, which the first edge that misses one
//! creates, and the challenges of ACME orders, of which each edge confirms that it answers them.
//!
//! Both are small and kept in memory, so every replication lists them anew.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use edgeseal_store::{
    Fault, Key, SharedStore,
    feed::{Event, Feed},
    key::{self, CHALLENGES},
    ticket_key,
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{challenges::Challenges, prover::ProofQueue, tls::TicketKeys};

/// Replicates ticket keys and challenges until it is stopped.
pub(crate) struct SharedStateFollower {
    pub(crate) store: SharedStore,
    pub(crate) tickets: Arc<TicketKeys>,
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) proof_queue: Arc<ProofQueue>,
    /// Interval at which missing ticket keys are obtained, and expired challenges are dropped.
    pub(crate) look_every: Duration,
    /// Turns true when the edge has the shared ticket keys.
    pub(crate) ticket_keys: watch::Sender<bool>,
}

impl SharedStateFollower {
    /// Replicates until `stop` is ready.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.replicate() => {}
            () = stop => {}
        }
    }

    async fn replicate(&self) {
        let ticket_keys = key::ticket_keys(self.tickets.environment());
        let prefixes = [ticket_keys.as_str(), CHALLENGES];
        let mut feed = Feed::start(self.store.clone(), prefixes);
        let mut look = interval(self.look_every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listed = HashSet::new();
        loop {
            // Cancel-safe: a feed's future may be dropped without loss.
            tokio::select! {
                event = feed.next() => self.handle_event(event, &mut listed).await,
                _ = look.tick() => {
                    self.challenges.remove_expired();
                    self.obtain_missing().await;
                }
            }
        }
    }

    async fn handle_event(&self, event: Event, listed: &mut HashSet<Key>) {
        match event {
            Event::ListBegins => listed.clear(),
            Event::Listed(entries) => {
                for entry in entries {
                    self.apply(&entry.key, Some(&entry.value));
                    listed.insert(entry.key);
                }
            }
            Event::ListEnds { revision, .. } => {
                self.tickets.retain_listed(listed);
                self.challenges.retain_listed(listed);
                self.proof_queue.confirm_challenges(revision, true);
                self.obtain_missing().await;
            }
            Event::Changes(changes) => {
                let mut is_confirmed = false;
                for change in &changes.items {
                    is_confirmed |= is_challenge(&change.key);
                    self.apply(&change.key, change.value.as_ref());
                }
                self.proof_queue
                    .confirm_challenges(changes.through, is_confirmed);
                self.tickets.expire_and_fill();
            }
        }
    }

    fn apply(&self, key: &Key, value: Option<&Bytes>) {
        match (is_challenge(key), value) {
            (true, Some(value)) => self.challenges.insert(key.clone(), value),
            (true, None) => self.challenges.remove(key),
            (false, Some(value)) => self.tickets.insert_stored(key, value),
            (false, None) => self.tickets.forget(key),
        }
    }

    /// Creates or fetches the ticket keys that are missing.
    async fn obtain_missing(&self) {
        for period in self.tickets.missing() {
            let (keyring, environment) = (self.tickets.keyring(), self.tickets.environment());
            let now = self.tickets.now();
            let obtained =
                ticket_key::get_or_create(&*self.store, keyring, environment, period, now);
            match obtained.await {
                Ok(entry) => self.tickets.insert_stored(&entry.key, &entry.value),
                Err(fault) => {
                    self.log_missing(&fault);
                    break;
                }
            }
        }
        self.tickets.expire_and_fill();
        if self.tickets.missing().is_empty() {
            self.ticket_keys.send_replace(true);
        }
    }

    /// At debug level: the feed already logs that the store fails.
    fn log_missing(&self, fault: &Fault) {
        tracing::debug!(
            error = fault as &dyn std::error::Error,
            missing = self.tickets.missing().len(),
            "shared ticket keys are missing; retrying"
        );
    }
}

fn is_challenge(key: &Key) -> bool {
    key.as_str().starts_with(CHALLENGES)
}
