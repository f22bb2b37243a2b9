//! From the store's change feed to what is served: fetch, check, then replica and index.
//!
//! Rules:
//! - A record is used if it decodes, and material and issuers of at least one certificate exist and
//!   its sealed key opens and matches the leaf. Otherwise the domain is quarantined: it keeps its
//!   last good state, the others are unaffected, and it is retried periodically. If only one of two
//!   certificates is usable, it is served alone, and the domain is quarantined for the other.
//! - Nothing is removed because a listing began, was aborted or returned nothing: a domain is
//!   removed when a change says so, or when a *completed* listing did not contain it.
//! - If the store fails, replication waits. Nothing that is served depends on it.
//! - A change is written to the replica before it is served, unless the disk fails or is slow: a
//!   process that is killed does not go back to an earlier state.

use std::{collections::HashSet, sync::Arc, time::Duration};

use edgeseal_core::{Backoff, DomainPattern};
use edgeseal_store::{
    Change, Entry as StoredEntry, Fault, Key, Revision, SharedSource,
    feed::{Event, Feed},
    key::DOMAINS,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    sync::{Mutex, MutexGuard, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    prover::{AppliedChange, ProofQueue},
    replica::{Backfill, Batch, CursorUpdate, Writer},
    serving_state::ServingState,
    telemetry,
    tls::TicketKeys,
};

mod load;
mod prepare;
mod reseal;
mod shared_state;
mod tasks;

pub(crate) use load::{load_replica, load_snapshot};
use prepare::{Prepared, prepare};
pub(crate) use reseal::ResealRequest;
pub use reseal::ResealStats;
pub(crate) use shared_state::SharedStateFollower;
pub(crate) use tasks::{ReplicationTasks, Task};

/// Replicates from the store until it is stopped.
pub(crate) struct Follower {
    pub(crate) source: SharedSource,
    pub(crate) serving: Arc<ServingState>,
    pub(crate) tickets: Arc<TicketKeys>,
    pub(crate) writer: Writer,
    pub(crate) proof_queue: Arc<ProofQueue>,
    pub(crate) applied_revision: watch::Sender<Revision>,
    pub(crate) recheck_every: Duration,
}

/// The state of the replication.
struct Progress {
    /// Names seen since the listing began; `None` outside of a listing, and in one that began with
    /// an empty index.
    listed: Option<HashSet<Box<str>>>,
    /// Whether the replica contains everything that is served. If not, everything listed is
    /// written: what is in memory may come from a file that became unreadable while it was loaded.
    complete: bool,
    cursor_written: Instant,
    /// The last quarantined domain that was retried.
    rechecked: Option<DomainPattern>,
}

/// Records prepared concurrently: each may wait for the store.
const AT_A_TIME: usize = 16;
/// A cursor that moved only past changes that do not concern this edge is written at this interval.
const CURSOR_EVERY: Duration = Duration::from_secs(10);
/// Quarantined domains retried at a time.
const RECHECKED_AT_A_TIME: usize = 64;
/// Interval at which rows missing in the replica are backfilled.
const REFILL_EVERY: Duration = Duration::from_millis(500);
/// Domains backfilled at a time.
const REFILLED_AT_A_TIME: usize = 256;

/// The queue of reseal requests. It outlives a follower that ends, but not one that panics: nobody
/// would answer.
struct ClosedOnPanic<'a>(MutexGuard<'a, mpsc::Receiver<ResealRequest>>);

impl Drop for ClosedOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close();
        }
    }
}

impl Follower {
    /// Replicates from `cursor` on, or from a full listing, until `stop` is ready; then flushes the
    /// replica. Reseal requests are served between two changes.
    pub(crate) async fn run(
        self,
        cursor: Option<Revision>,
        requests: Arc<Mutex<mpsc::Receiver<ResealRequest>>>,
        stop: impl Future<Output = ()>,
    ) {
        let prefixes = [DOMAINS];
        let source = Arc::clone(&self.source);
        let feed = match cursor {
            Some(cursor) => Feed::resume(source, prefixes, cursor),
            None => Feed::start(source, prefixes),
        };
        // Free: the follower before this one has ended.
        let mut requests = ClosedOnPanic(requests.lock().await);
        tokio::select! {
            () = self.replicate(feed, cursor.is_some(), &mut requests.0) => {}
            () = stop => {}
        }
        self.write_ticket_keys();
        self.writer.close().await;
    }

    async fn replicate(
        &self,
        mut feed: Feed,
        complete: bool,
        requests: &mut mpsc::Receiver<ResealRequest>,
    ) {
        let mut progress = Progress {
            listed: None,
            complete,
            cursor_written: Instant::now(),
            rechecked: None,
        };
        let mut recheck = interval(self.recheck_every);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refill = interval(REFILL_EVERY);
        refill.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Cancel-safe: a feed's future may be dropped without loss.
            tokio::select! {
                event = feed.next() => self.handle_event(event, &mut progress).await,
                _ = recheck.tick() => self.retry_quarantined(&mut progress).await,
                _ = refill.tick() => match self.writer.pending_backfill(REFILLED_AT_A_TIME) {
                    Backfill::Nothing => {}
                    Backfill::Domains(domains) => self.backfill(&domains, &progress).await,
                    Backfill::Everything => {
                        tracing::warn!("the replica lost rows: everything is rewritten");
                        self.writer.start_full_rewrite();
                        feed = Feed::start(Arc::clone(&self.source), [DOMAINS]);
                        progress.complete = false;
                        self.write_ticket_keys();
                    }
                },
                Some(request) = requests.recv() => self.reseal(request).await,
                () = self.tickets.changed() => self.write_ticket_keys(),
            }
        }
    }

    /// For a start without the store: existing sessions can then be resumed.
    fn write_ticket_keys(&self) {
        self.writer.try_write(Batch {
            ticket_keys: Some(self.tickets.stored()),
            ..Batch::default()
        });
    }

    async fn handle_event(&self, event: Event, progress: &mut Progress) {
        match event {
            Event::ListBegins => {
                // The very first listing has nothing to remove and needs no memory for it.
                let serving = &self.serving;
                let empty = serving.index().is_empty() && serving.quarantine().len() == 0;
                progress.listed = (!empty).then(HashSet::new);
            }
            Event::Listed(entries) => {
                if let Some(listed) = &mut progress.listed {
                    let names = entries.iter().filter_map(|entry| name_of(&entry.key));
                    listed.extend(names.map(|name| name.to_string().into_boxed_str()));
                }
                let changes = entries.into_iter().map(change_of);
                let complete = progress.complete;
                let news = changes.filter(|change| !complete || self.is_other(change));
                let news = news.collect();
                let prepared = self.prepare_with_retry(news).await;
                self.writer
                    .write_with_backpressure(batch_of(&prepared))
                    .await;
                let mut changed = self.apply(prepared);
                // Found by a listing, not received as a change: its age says nothing about this
                // edge's latency.
                for one in &mut changed {
                    one.at = None;
                }
                self.proof_queue.push_changes(changed);
            }
            Event::ListEnds { revision, entries } => {
                let unlisted = progress.listed.take();
                let unlisted = unlisted.map(|listed| self.unlisted(&listed, revision));
                let unlisted = unlisted.unwrap_or_default();
                let mut batch = batch_of(&unlisted);
                batch.cursor = CursorUpdate::Complete(revision);
                progress.complete = true;
                tracing::info!(
                    store.revision = revision.0,
                    listed = entries,
                    dropped = batch.remove.len(),
                    "all domains were listed"
                );
                self.writer.write_with_backpressure(batch).await;
                self.apply(unlisted);
                self.mark_applied(revision, Vec::new());
                self.proof_queue.request_report();
            }
            Event::Changes(changes) => {
                let through = changes.through;
                let items = changes.items.into_iter();
                let news: Vec<Change> = items.filter(|change| self.is_newer(change)).collect();
                let quiet = news.is_empty();
                let prepared = self.prepare_with_retry(news).await;
                if !quiet || progress.cursor_written.elapsed() >= CURSOR_EVERY {
                    progress.cursor_written = Instant::now();
                    let mut batch = batch_of(&prepared);
                    batch.cursor = CursorUpdate::Advance(through);
                    self.writer.write_committed(batch).await;
                }
                let changed = self.apply(prepared);
                self.mark_applied(through, changed);
            }
        }
    }

    /// Prepares changes in order. Retries for as long as the store fails.
    async fn prepare_with_retry(&self, changes: Vec<Change>) -> Vec<Prepared> {
        const BACKOFF: Backoff =
            Backoff::doubling(Duration::from_millis(100), Duration::from_secs(10));
        let mut retries = 0;
        loop {
            match self.prepare_all(&changes).await {
                Ok(prepared) => return prepared,
                Err(fault) => {
                    tracing::warn!(
                        error = &fault as &dyn std::error::Error,
                        "fetching material from the store failed; retrying"
                    );
                    sleep(BACKOFF.delay(retries)).await;
                    retries += 1;
                }
            }
        }
    }

    async fn prepare_all(&self, changes: &[Change]) -> Result<Vec<Prepared>, Fault> {
        let waiting: Vec<_> = changes
            .iter()
            .map(|change| prepare(&*self.source, &self.serving, change))
            .collect();
        stream::iter(waiting)
            .buffered(AT_A_TIME)
            .try_collect()
            .await
    }

    /// Serves what was prepared and written to the replica; returns what is to be proven.
    fn apply(&self, prepared: Vec<Prepared>) -> Vec<AppliedChange> {
        let changed = prepared.iter().filter_map(Prepared::applied_change);
        let changed = changed.collect();
        for one in prepared {
            one.apply(&self.serving);
        }
        self.serving.sweep();
        changed
    }

    /// Writes domains that were skipped in the replica, as the store has them now.
    async fn backfill(&self, domains: &[DomainPattern], progress: &Progress) {
        let Ok(found) = self.stored(domains).await else {
            return;
        };
        let absent_since = *self.applied_revision.borrow();
        let changes: Vec<Change> = found
            .into_iter()
            .map(|(key, entry)| match entry {
                Some(entry) => change_of(entry),
                None => Change {
                    key,
                    value: None,
                    revision: absent_since,
                },
            })
            .collect();
        let Ok(prepared) = self.prepare_all(&changes).await else {
            return;
        };
        if !self.writer.try_write(batch_of(&prepared)) {
            return;
        }
        let changed = self.apply(prepared);
        self.proof_queue.push_changes(changed);
        if self.writer.skipped_ticket_keys() {
            self.write_ticket_keys();
        }
        let served = *self.applied_revision.borrow();
        let reached = match progress.complete {
            true => CursorUpdate::Complete(served),
            false => CursorUpdate::Unchanged,
        };
        self.writer.backfilled(domains, reached);
    }

    /// What the store has of some domains, in one read: a store with a thread of its own does it
    /// there.
    async fn stored(
        &self,
        domains: &[DomainPattern],
    ) -> Result<Vec<(Key, Option<StoredEntry>)>, Fault> {
        let keys: Vec<Key> = domains.iter().map(Key::domain).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.source.get_many(&keys).await?;
        Ok(keys.into_iter().zip(found).collect())
    }

    /// Removals of what is served or quarantined and was not listed.
    fn unlisted(&self, listed: &HashSet<Box<str>>, revision: Revision) -> Vec<Prepared> {
        let is_listed = |name: &DomainPattern| listed.contains(name.to_string().as_str());
        let served = self.serving.index().names();
        let served = served.iter().filter(|name| !listed.contains(&**name));
        let served = served.filter_map(|name| DomainPattern::parse(name).ok());
        let quarantined = self.serving.quarantine().retain(is_listed);
        let gone = served.chain(quarantined);
        gone.map(|name| Prepared::Remove(name, revision)).collect()
    }

    /// Retries some quarantined domains with what the store has of them now: the keyring may have
    /// been completed, keys resealed, or material added.
    async fn retry_quarantined(&self, progress: &mut Progress) {
        let quarantine = self.serving.quarantine();
        let some = quarantine.some(progress.rechecked.as_ref(), RECHECKED_AT_A_TIME);
        progress.rechecked = some.last().map(|one| one.domain.clone());
        let domains: Vec<DomainPattern> = some.into_iter().map(|one| one.domain).collect();
        let Ok(found) = self.stored(&domains).await else {
            return;
        };
        // Removed domains are reported by the feed.
        let found = found.into_iter().filter_map(|(_, entry)| entry);
        let changes: Vec<Change> = found.map(change_of).collect();
        if let Ok(mut prepared) = self.prepare_all(&changes).await {
            prepared.retain(|one| !self.is_served_part(one));
            self.writer.write_committed(batch_of(&prepared)).await;
            let changed = self.apply(prepared);
            if !changed.is_empty() {
                let revision = *self.applied_revision.borrow(); // drop the guard before the value is set
                self.mark_applied(revision, changed);
            }
        }
    }

    /// Whether this is what is served already, with one of two certificates still unusable.
    fn is_served_part(&self, prepared: &Prepared) -> bool {
        let Prepared::Serve(good) = prepared else {
            return false;
        };
        let served = || self.serving.index().get(&good.row.name);
        good.unusable.is_some() && served().as_ref() == Some(&good.entry)
    }

    fn mark_applied(&self, revision: Revision, changed: Vec<AppliedChange>) {
        self.applied_revision.send_replace(revision);
        self.proof_queue.push_applied(revision, changed);
        telemetry::revision_applied(revision.0, self.serving.index().len());
    }

    /// Rule of listings: a listed record replaces the one in memory, whatever its revision.
    fn is_other(&self, change: &Change) -> bool {
        self.held(change) != Some(change.revision)
    }

    /// Rule of changes: a record in memory is replaced by later commits only.
    fn is_newer(&self, change: &Change) -> bool {
        self.held(change).is_none_or(|held| held < change.revision)
    }

    fn held(&self, change: &Change) -> Option<Revision> {
        let name = name_of(&change.key)?;
        Some(self.serving.index().get(&name)?.revision)
    }
}

/// A stored entry, as the change that wrote it.
fn change_of(entry: StoredEntry) -> Change {
    Change {
        key: entry.key,
        value: Some(entry.value),
        revision: entry.revision,
    }
}

/// What the replica writes of these.
fn batch_of(prepared: &[Prepared]) -> Batch {
    let mut batch = Batch::default();
    for one in prepared {
        one.add_to(&mut batch);
    }
    batch
}

/// The domain that a key belongs to.
fn name_of(key: &Key) -> Option<DomainPattern> {
    let (_, name) = key.as_str().rsplit_once('/')?;
    let name = DomainPattern::parse(name).ok()?;
    (Key::domain(&name) == *key).then_some(name)
}
