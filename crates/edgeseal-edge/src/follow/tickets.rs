//! The ticket keys that edges share: followed in the store, and made by whoever misses one first.

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

use crate::tls::Tickets;

/// Follows the shared keys for ever.
pub(crate) struct TicketFollower {
    store: SharedStore,
    tickets: Arc<Tickets>,
    look_every: Duration,
    ready: watch::Sender<bool>,
}

impl TicketFollower {
    /// Looks for missing keys `look_every`. The other half turns true when the edge has the shared
    /// keys.
    pub(crate) fn new(
        store: SharedStore,
        tickets: Arc<Tickets>,
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

    /// Follows until `stop` is ready.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.follow() => {}
            () = stop => {}
        }
    }

    async fn follow(&self) {
        let prefix = key::ticket_keys(self.tickets.environment());
        let mut feed = Feed::start(Arc::clone(&self.store), [prefix]);
        let mut look = interval(self.look_every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listed = Vec::new();
        loop {
            // A feed's future may be dropped: nothing is lost.
            tokio::select! {
                event = feed.next() => self.take(event, &mut listed).await,
                _ = look.tick() => self.look().await,
            }
        }
    }

    async fn take(&self, event: Event, listed: &mut Vec<Key>) {
        match event {
            Event::ListBegins => listed.clear(),
            Event::Listed(entries) => {
                for entry in entries {
                    self.tickets.take(&entry.key, &entry.value);
                    listed.push(entry.key);
                }
            }
            Event::ListEnds { .. } => {
                self.tickets.keep_only(listed);
                self.look().await;
            }
            Event::Changes(changes) => {
                for change in changes.items {
                    match change.value {
                        Some(value) => self.tickets.take(&change.key, &value),
                        None => self.tickets.forget(&change.key),
                    }
                }
                self.tickets.tidy();
            }
        }
    }

    /// Makes or fetches what is missing.
    async fn look(&self) {
        for period in self.tickets.missing() {
            let (keyring, environment) = (self.tickets.keyring(), self.tickets.environment());
            let now = self.tickets.now();
            let obtained = ticket_key::obtain(&*self.store, keyring, environment, period, now);
            match obtained.await {
                Ok(entry) => self.tickets.take(&entry.key, &entry.value),
                Err(fault) => {
                    self.without(&fault);
                    break;
                }
            }
        }
        self.tickets.tidy();
        if self.tickets.missing().is_empty() {
            self.ready.send_replace(true);
        }
    }

    /// The feed says loudly that the store fails.
    fn without(&self, fault: &Fault) {
        tracing::debug!(
            error = fault as &dyn std::error::Error,
            missing = self.tickets.missing().len(),
            "shared ticket keys are missing; trying again"
        );
    }
}
