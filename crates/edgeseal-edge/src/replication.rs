//! From the store's feed to what is served: fetch, check, then index and replica.
//!
//! Rules:
//! - A record is used only if all of it can be: it reads, its material and issuers are there, the
//!   sealed key opens and is the leaf's. Else the domain is quarantined: it keeps its last good
//!   state, the rest are untouched, and it is tried again now and then. Of two certificates one is
//!   enough: it is served alone, and the domain is quarantined for the other.
//! - Nothing is dropped because a listing began, was cut short or came empty-handed: a domain goes
//!   when a change says so, or when a listing that *ended* did not have it.
//! - A store that fails is waited for. Nothing that is served depends on it.
//! - A change is written to the replica before it is served, unless the disk does not do its part: what
//!   was once served is not taken back by a process that is killed.

use std::{collections::HashSet, sync::Arc, time::Duration};

use edgeseal_core::DomainPattern;
use edgeseal_store::{
    Change, Entry as StoredEntry, Fault, Key, Revision, SharedStore,
    feed::{Event, Feed},
    key::DOMAINS,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    prover::{AppliedChange, ProofQueue},
    replica::{Backfill, Batch, CursorUpdate, Writer},
    served_domain::ServedDomain,
    serving_state::ServingState,
    telemetry,
    tls::TicketKeys,
};

mod load;
mod prepare;
mod reseal;
mod ticket_keys;

pub(crate) use load::{load_replica, load_snapshot};
use prepare::{Prepared, prepare};
pub(crate) use reseal::ResealRequest;
pub use reseal::ResealStats;
pub(crate) use ticket_keys::TicketKeyFollower;

/// Follows the store for ever.
pub(crate) struct Follower {
    pub(crate) store: SharedStore,
    pub(crate) serving: Arc<ServingState>,
    pub(crate) tickets: Arc<TicketKeys>,
    pub(crate) writer: Writer,
    pub(crate) proof_queue: Arc<ProofQueue>,
    pub(crate) applied_revision: watch::Sender<Revision>,
    pub(crate) recheck_every: Duration,
}

/// Where the following stands.
struct Progress {
    /// Names seen since the listing began; `None` outside of one, and in one that began when
    /// nothing was held.
    listed: Option<HashSet<Box<str>>>,
    /// Whether the replica has everything that is held. If not, all that is listed is written: what
    /// is held may come from a file that broke while it was read.
    complete: bool,
    cursor_written: Instant,
    /// The last quarantined domain that was tried again.
    rechecked: Option<DomainPattern>,
}

/// Records prepared at a time: each may wait for the store.
const AT_A_TIME: usize = 16;
/// A cursor that moved past changes of others only is written this often.
const CURSOR_EVERY: Duration = Duration::from_secs(10);
/// Quarantined domains tried again at a time.
const RECHECKED_AT_A_TIME: usize = 64;
/// What the replica lacks is looked at this often.
const REFILL_EVERY: Duration = Duration::from_millis(500);
/// Domains written again at a time.
const REFILLED_AT_A_TIME: usize = 256;

/// What becomes of a domain.
enum Action {
    Serve(DomainPattern, ServedDomain, Option<String>),
    Remove(DomainPattern),
    Quarantine(DomainPattern, String),
}

impl Follower {
    /// Follows from `cursor` on, or from a full listing, until `stop` is ready; then writes what is
    /// left to the replica. `wishes` are obeyed between two changes.
    pub(crate) async fn run(
        self,
        cursor: Option<Revision>,
        wishes: mpsc::Receiver<ResealRequest>,
        stop: impl Future<Output = ()>,
    ) {
        let prefixes = [DOMAINS];
        let store = Arc::clone(&self.store);
        let feed = match cursor {
            Some(cursor) => Feed::resume(store, prefixes, cursor),
            None => Feed::start(store, prefixes),
        };
        tokio::select! {
            () = self.replicate(feed, cursor.is_some(), wishes) => {}
            () = stop => {}
        }
        self.write_ticket_keys();
        self.writer.close().await;
    }

    async fn replicate(
        &self,
        mut feed: Feed,
        complete: bool,
        mut wishes: mpsc::Receiver<ResealRequest>,
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
            // A feed's future may be dropped: nothing is lost.
            tokio::select! {
                event = feed.next() => self.handle_event(event, &mut progress).await,
                _ = recheck.tick() => self.retry_quarantined(&mut progress).await,
                _ = refill.tick() => match self.writer.pending_backfill(REFILLED_AT_A_TIME) {
                    Backfill::Nothing => {}
                    Backfill::Domains(domains) => self.backfill(&domains, &progress).await,
                    Backfill::Everything => {
                        tracing::warn!("the replica lost rows: everything is written anew");
                        self.writer.start_full_rewrite();
                        feed = Feed::start(Arc::clone(&self.store), [DOMAINS]);
                        progress.complete = false;
                        self.write_ticket_keys();
                    }
                },
                Some(wish) = wishes.recv() => self.reseal(wish).await,
                () = self.tickets.changed() => self.write_ticket_keys(),
            }
        }
    }

    /// For a start without the store: sessions of before go on then.
    fn write_ticket_keys(&self) {
        self.writer.try_write(Batch {
            ticket_keys: Some(self.tickets.stored()),
            ..Batch::default()
        });
    }

    async fn handle_event(&self, event: Event, progress: &mut Progress) {
        match event {
            Event::ListBegins => {
                // The first listing of all has nothing to drop and needs no memory for it.
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
                let (batch, actions, mut changed) = self.prepare_with_retry(news).await;
                // Found and not heard of: how long ago it changed says nothing of this edge.
                for one in &mut changed {
                    one.at = None;
                }
                self.writer.write_with_backpressure(batch).await;
                self.apply(actions);
                self.proof_queue.push_changes(changed);
            }
            Event::ListEnds { revision, entries } => {
                let (mut batch, actions) = match progress.listed.take() {
                    Some(listed) => self.unlisted(&listed),
                    None => (Batch::default(), Vec::new()),
                };
                batch.cursor = CursorUpdate::Complete(revision);
                progress.complete = true;
                tracing::info!(
                    store.revision = revision.0,
                    listed = entries,
                    dropped = batch.remove.len(),
                    "all domains were listed"
                );
                self.writer.write_with_backpressure(batch).await;
                self.apply(actions);
                self.mark_applied(revision, Vec::new());
                self.proof_queue.request_report();
            }
            Event::Changes(changes) => {
                let through = changes.through;
                let items = changes.items.into_iter();
                let news: Vec<Change> = items.filter(|change| self.is_newer(change)).collect();
                let quiet = news.is_empty();
                let (mut batch, actions, changed) = self.prepare_with_retry(news).await;
                if !quiet || progress.cursor_written.elapsed() >= CURSOR_EVERY {
                    progress.cursor_written = Instant::now();
                    batch.cursor = CursorUpdate::Advance(through);
                    self.writer.write_committed(batch).await;
                }
                self.apply(actions);
                self.mark_applied(through, changed);
            }
        }
    }

    /// Prepares changes in order. Waits as long as the store fails.
    async fn prepare_with_retry(
        &self,
        changes: Vec<Change>,
    ) -> (Batch, Vec<Action>, Vec<AppliedChange>) {
        const PAUSE_MAX: Duration = Duration::from_secs(10);
        let mut pause = Duration::from_millis(100);
        loop {
            match self.prepare_all(&changes).await {
                Ok(prepared) => return split(prepared),
                Err(fault) => {
                    tracing::warn!(
                        error = &fault as &dyn std::error::Error,
                        "the store failed while material was fetched; trying again"
                    );
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn prepare_all(&self, changes: &[Change]) -> Result<Vec<Prepared>, Fault> {
        let waiting: Vec<_> = changes
            .iter()
            .map(|change| prepare(&*self.store, &self.serving, change))
            .collect();
        stream::iter(waiting)
            .buffered(AT_A_TIME)
            .try_collect()
            .await
    }

    fn apply(&self, actions: Vec<Action>) {
        let serving = &self.serving;
        for action in actions {
            match action {
                Action::Serve(name, entry, None) => serving.put(&name, entry),
                Action::Serve(name, entry, Some(reason)) => {
                    serving.put_partial(&name, entry, &reason)
                }
                Action::Remove(name) => serving.remove(&name),
                Action::Quarantine(name, reason) => serving.quarantine().put(&name, &reason),
            }
        }
        serving.sweep();
    }

    /// Writes domains again that were left out of the replica, as the store has them now.
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
        let (batch, actions, changed) = split(prepared);
        if !self.writer.try_write(batch) {
            return;
        }
        self.apply(actions);
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

    /// What the store has of some domains: in one read, which a store of its own thread does there.
    async fn stored(
        &self,
        domains: &[DomainPattern],
    ) -> Result<Vec<(Key, Option<StoredEntry>)>, Fault> {
        let keys: Vec<Key> = domains.iter().map(Key::domain).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.store.get_many(&keys).await?;
        Ok(keys.into_iter().zip(found).collect())
    }

    /// Removes what is served and was not listed.
    fn unlisted(&self, listed: &HashSet<Box<str>>) -> (Batch, Vec<Action>) {
        let mut batch = Batch::default();
        let is_listed = |name: &DomainPattern| listed.contains(name.to_string().as_str());
        for name in self.serving.index().names() {
            if !listed.contains(&name)
                && let Ok(name) = DomainPattern::parse(&name)
            {
                batch.remove.push(name);
            }
        }
        let gone = self.serving.quarantine().retain(is_listed);
        batch.remove.extend(gone);
        let actions = batch.remove.iter().cloned().map(Action::Remove);
        let actions = actions.collect();
        (batch, actions)
    }

    /// Tries some quarantined domains again with what the store has of them now: a keyring was
    /// completed, keys were sealed anew, material came late.
    async fn retry_quarantined(&self, progress: &mut Progress) {
        let quarantine = self.serving.quarantine();
        let some = quarantine.some(progress.rechecked.as_ref(), RECHECKED_AT_A_TIME);
        progress.rechecked = some.last().map(|one| one.domain.clone());
        let domains: Vec<DomainPattern> = some.into_iter().map(|one| one.domain).collect();
        let Ok(found) = self.stored(&domains).await else {
            return;
        };
        // Of those that are gone the feed will say so.
        let found = found.into_iter().filter_map(|(_, entry)| entry);
        let changes: Vec<Change> = found.map(change_of).collect();
        if let Ok(mut prepared) = self.prepare_all(&changes).await {
            prepared.retain(|one| !self.is_served_part(one));
            let (batch, actions, changed) = split(prepared);
            self.writer.write_committed(batch).await;
            self.apply(actions);
            if !changed.is_empty() {
                let revision = *self.applied_revision.borrow(); // the guard must be gone before it is set
                self.mark_applied(revision, changed);
            }
        }
    }

    /// Whether this is what is served already, and still only part of what it should be.
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

    /// Rule of listings: what is listed replaces what is held, whatever its revision.
    fn is_other(&self, change: &Change) -> bool {
        self.held(change) != Some(change.revision)
    }

    /// Rule of changes: what is held is replaced by later commits only.
    fn is_newer(&self, change: &Change) -> bool {
        self.held(change).is_none_or(|held| held < change.revision)
    }

    fn held(&self, change: &Change) -> Option<Revision> {
        let name = name_of(&change.key)?;
        Some(self.serving.index().get(&name)?.revision)
    }
}

/// What is stored, as the change that brought it.
fn change_of(entry: StoredEntry) -> Change {
    Change {
        key: entry.key,
        value: Some(entry.value),
        revision: entry.revision,
    }
}

/// What is to be written, what becomes of the domains, and what is to be proved.
fn split(prepared: Vec<Prepared>) -> (Batch, Vec<Action>, Vec<AppliedChange>) {
    let mut batch = Batch::default();
    let (mut actions, mut changed) = (Vec::new(), Vec::new());
    for one in prepared {
        match one {
            Prepared::Serve(good) => {
                let name = good.row.name.clone();
                changed.push(AppliedChange {
                    name: name.clone(),
                    revision: good.row.revision,
                    at: Some(good.modified),
                });
                batch.issuers.extend(good.issuers);
                batch.put.push(good.row);
                if let Some(reason) = &good.unusable {
                    batch.quarantine.push((name.clone(), reason.clone()));
                }
                actions.push(Action::Serve(name, good.entry, good.unusable));
            }
            Prepared::Remove(name, revision) => {
                batch.remove.push(name.clone());
                actions.push(Action::Remove(name.clone()));
                changed.push(AppliedChange {
                    name,
                    revision,
                    at: None,
                });
            }
            Prepared::Quarantine { name, reason } => {
                batch.quarantine.push((name.clone(), reason.clone()));
                actions.push(Action::Quarantine(name, reason));
            }
            Prepared::Ignore => {}
        }
    }
    (batch, actions, changed)
}

/// The domain that a key is of.
fn name_of(key: &Key) -> Option<DomainPattern> {
    let (_, name) = key.as_str().rsplit_once('/')?;
    let name = DomainPattern::parse(name).ok()?;
    (Key::domain(&name) == *key).then_some(name)
}
