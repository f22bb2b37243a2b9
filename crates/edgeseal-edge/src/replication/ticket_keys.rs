//! The ticket keys that edges share: replicated from the store, and created by the first edge that
//! misses one.

use std::{sync::Arc, time::Duration};

use edgeseal_store::{
    Fault, Key, SharedStore,
    feed::{Event, Feed},
    key, ticket_key,
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::tls::TicketKeys;

/// Replicates the shared keys until it is stopped.
pub(crate) struct TicketKeyFollower {
    store: SharedStore,
    tickets: Arc<TicketKeys>,
    look_every: Duration,
    ready: watch::Sender<bool>,
}

impl TicketKeyFollower {
    /// Obtains missing keys at this interval. The receiver turns true when the edge has the shared
    /// keys.
    pub(crate) fn new(
        store: SharedStore,
        tickets: Arc<TicketKeys>,
        look_every: Duration,
    ) -> (Self, watch::Receiver<bool>) {
        let (ready, is_ready) = watch::channel(tickets.missing().is_empty());
        let follower = Self {
            store,
            tickets,
            look_every,
            ready,
        };
        (follower, is_ready)
    }

    /// Replicates until `stop` is ready.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.replicate() => {}
            () = stop => {}
        }
    }

    async fn replicate(&self) {
        let prefix = key::ticket_keys(self.tickets.environment());
        let mut feed = Feed::start(Arc::clone(&self.store), [prefix]);
        let mut look = interval(self.look_every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listed = Vec::new();
        loop {
            // Cancel-safe: a feed's future may be dropped without loss.
            tokio::select! {
                event = feed.next() => self.handle_event(event, &mut listed).await,
                _ = look.tick() => self.obtain_missing().await,
            }
        }
    }

    async fn handle_event(&self, event: Event, listed: &mut Vec<Key>) {
        match event {
            Event::ListBegins => listed.clear(),
            Event::Listed(entries) => {
                for entry in entries {
                    self.tickets.insert_stored(&entry.key, &entry.value);
                    listed.push(entry.key);
                }
            }
            Event::ListEnds { .. } => {
                self.tickets.retain_listed(listed);
                self.obtain_missing().await;
            }
            Event::Changes(changes) => {
                for change in changes.items {
                    match change.value {
                        Some(value) => self.tickets.insert_stored(&change.key, &value),
                        None => self.tickets.forget(&change.key),
                    }
                }
                self.tickets.expire_and_fill();
            }
        }
    }

    /// Creates or fetches what is missing.
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
            self.ready.send_replace(true);
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
