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

use edgeseal_core::Pattern;
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
    entry::Entry,
    prove::{Applied, Changed},
    replica::{Batch, Lacking, Reached, Writer},
    telemetry,
    tls::Tickets,
};

mod holdings;
mod load;
mod prepare;
mod reseal;
mod tickets;

pub(crate) use holdings::Holdings;
pub(crate) use load::{load_beside, load_replica};
use prepare::{Prepared, prepare};
pub use reseal::Resealed;
pub(crate) use reseal::Wish;
pub(crate) use tickets::TicketFollower;

/// Follows the store for ever.
pub(crate) struct Follower {
    pub(crate) store: SharedStore,
    pub(crate) holdings: Arc<Holdings>,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) writer: Writer,
    pub(crate) applied: Arc<Applied>,
    pub(crate) served: watch::Sender<Revision>,
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
    rechecked: Option<Pattern>,
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
    Serve(Pattern, Entry, Option<String>),
    Remove(Pattern),
    Quarantine(Pattern, String),
}

impl Follower {
    /// Follows from `cursor` on, or from a full listing, until `stop` is ready; then writes what is
    /// left to the replica. `wishes` are obeyed between two changes.
    pub(crate) async fn run(
        self,
        cursor: Option<Revision>,
        wishes: mpsc::Receiver<Wish>,
        stop: impl Future<Output = ()>,
    ) {
        let prefixes = [DOMAINS];
        let store = Arc::clone(&self.store);
        let feed = match cursor {
            Some(cursor) => Feed::resume(store, prefixes, cursor),
            None => Feed::start(store, prefixes),
        };
        tokio::select! {
            () = self.follow(feed, cursor.is_some(), wishes) => {}
            () = stop => {}
        }
        self.write_ticket_keys();
        self.writer.close().await;
    }

    async fn follow(&self, mut feed: Feed, complete: bool, mut wishes: mpsc::Receiver<Wish>) {
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
                event = feed.next() => self.take(event, &mut progress).await,
                _ = recheck.tick() => self.recheck(&mut progress).await,
                _ = refill.tick() => match self.writer.lacking(REFILLED_AT_A_TIME) {
                    Lacking::Nothing => {}
                    Lacking::Domains(domains) => self.refill(&domains, &progress).await,
                    Lacking::Everything => {
                        tracing::warn!("the replica lost rows: everything is written anew");
                        self.writer.begins_anew();
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
        self.writer.write(Batch {
            ticket_keys: Some(self.tickets.stored()),
            ..Batch::default()
        });
    }

    async fn take(&self, event: Event, progress: &mut Progress) {
        match event {
            Event::ListBegins => {
                // The first listing of all has nothing to drop and needs no memory for it.
                let holdings = &self.holdings;
                let empty = holdings.index().is_empty() && holdings.quarantine().len() == 0;
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
                let (batch, actions, mut changed) = self.prepare_patiently(news).await;
                // Found and not heard of: how long ago it changed says nothing of this edge.
                for one in &mut changed {
                    one.at = None;
                }
                self.writer.write_patiently(batch).await;
                self.apply(actions);
                self.applied.tell_changed(changed);
            }
            Event::ListEnds { revision, entries } => {
                let (mut batch, actions) = match progress.listed.take() {
                    Some(listed) => self.unlisted(&listed),
                    None => (Batch::default(), Vec::new()),
                };
                batch.reached = Reached::Complete(revision);
                progress.complete = true;
                tracing::info!(
                    store.revision = revision.0,
                    listed = entries,
                    dropped = batch.remove.len(),
                    "all domains were listed"
                );
                self.writer.write_patiently(batch).await;
                self.apply(actions);
                self.reached(revision, Vec::new());
                self.applied.report_anyway();
            }
            Event::Changes(changes) => {
                let through = changes.through;
                let items = changes.items.into_iter();
                let news: Vec<Change> = items.filter(|change| self.is_newer(change)).collect();
                let quiet = news.is_empty();
                let (mut batch, actions, changed) = self.prepare_patiently(news).await;
                if !quiet || progress.cursor_written.elapsed() >= CURSOR_EVERY {
                    progress.cursor_written = Instant::now();
                    batch.reached = Reached::Cursor(through);
                    self.writer.write_first(batch).await;
                }
                self.apply(actions);
                self.reached(through, changed);
            }
        }
    }

    /// Prepares changes in order. Waits as long as the store fails.
    async fn prepare_patiently(&self, changes: Vec<Change>) -> (Batch, Vec<Action>, Vec<Changed>) {
        const PAUSE_MAX: Duration = Duration::from_secs(10);
        let mut pause = Duration::from_millis(100);
        loop {
            match self.prepare_all(&changes).await {
                Ok(prepared) => return part(prepared),
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
            .map(|change| prepare(&*self.store, &self.holdings, change))
            .collect();
        stream::iter(waiting)
            .buffered(AT_A_TIME)
            .try_collect()
            .await
    }

    fn apply(&self, actions: Vec<Action>) {
        let holdings = &self.holdings;
        for action in actions {
            match action {
                Action::Serve(name, entry, None) => holdings.put(&name, entry),
                Action::Serve(name, entry, Some(why)) => holdings.put_part(&name, entry, &why),
                Action::Remove(name) => holdings.remove(&name),
                Action::Quarantine(name, why) => holdings.quarantine().put(&name, &why),
            }
        }
        holdings.sweep();
    }

    /// Writes domains again that were left out of the replica, as the store has them now.
    async fn refill(&self, domains: &[Pattern], progress: &Progress) {
        let Ok(found) = self.stored(domains).await else {
            return;
        };
        let absent_since = *self.served.borrow();
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
        let (batch, actions, changed) = part(prepared);
        if !self.writer.write(batch) {
            return;
        }
        self.apply(actions);
        self.applied.tell_changed(changed);
        if self.writer.lacks_ticket_keys() {
            self.write_ticket_keys();
        }
        let served = *self.served.borrow();
        let reached = match progress.complete {
            true => Reached::Complete(served),
            false => Reached::Unchanged,
        };
        self.writer.written_again(domains, reached);
    }

    /// What the store has of some domains: in one read, which a store of its own thread does there.
    async fn stored(&self, domains: &[Pattern]) -> Result<Vec<(Key, Option<StoredEntry>)>, Fault> {
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
        let is_listed = |name: &Pattern| listed.contains(name.to_string().as_str());
        for name in self.holdings.index().names() {
            if !listed.contains(&name)
                && let Ok(name) = Pattern::parse(&name)
            {
                batch.remove.push(name);
            }
        }
        let gone = self.holdings.quarantine().retain(is_listed);
        batch.remove.extend(gone);
        let actions = batch.remove.iter().cloned().map(Action::Remove);
        let actions = actions.collect();
        (batch, actions)
    }

    /// Tries some quarantined domains again with what the store has of them now: a keyring was
    /// completed, keys were sealed anew, material came late.
    async fn recheck(&self, progress: &mut Progress) {
        let quarantine = self.holdings.quarantine();
        let some = quarantine.some(progress.rechecked.as_ref(), RECHECKED_AT_A_TIME);
        progress.rechecked = some.last().map(|one| one.domain.clone());
        let domains: Vec<Pattern> = some.into_iter().map(|one| one.domain).collect();
        let Ok(found) = self.stored(&domains).await else {
            return;
        };
        // Of those that are gone the feed will say so.
        let found = found.into_iter().filter_map(|(_, entry)| entry);
        let changes: Vec<Change> = found.map(change_of).collect();
        if let Ok(mut prepared) = self.prepare_all(&changes).await {
            prepared.retain(|one| !self.is_served_part(one));
            let (batch, actions, changed) = part(prepared);
            self.writer.write_first(batch).await;
            self.apply(actions);
            if !changed.is_empty() {
                let revision = *self.served.borrow(); // the guard must be gone before it is set
                self.reached(revision, changed);
            }
        }
    }

    /// Whether this is what is served already, and still only part of what it should be.
    fn is_served_part(&self, prepared: &Prepared) -> bool {
        let Prepared::Good(good) = prepared else {
            return false;
        };
        let served = || self.holdings.index().get(&good.row.name);
        good.unusable.is_some() && served().as_ref() == Some(&good.entry)
    }

    fn reached(&self, revision: Revision, changed: Vec<Changed>) {
        self.served.send_replace(revision);
        self.applied.tell(revision, changed);
        telemetry::served(revision.0, self.holdings.index().len());
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
        Some(self.holdings.index().get(&name)?.revision)
    }
}

/// What is stored, as the change that brought it.
fn change_of(entry: StoredEntry) -> Change {
    Change {
        key: entry.key,
        value: Some(entry.value),
        revision: entry.changed,
    }
}

/// What is to be written, what becomes of the domains, and what is to be proved.
fn part(prepared: Vec<Prepared>) -> (Batch, Vec<Action>, Vec<Changed>) {
    let mut batch = Batch::default();
    let (mut actions, mut changed) = (Vec::new(), Vec::new());
    for one in prepared {
        match one {
            Prepared::Good(good) => {
                let name = good.row.name.clone();
                changed.push(Changed {
                    name: name.clone(),
                    revision: good.row.revision,
                    at: Some(good.modified),
                });
                batch.issuers.extend(good.issuers);
                batch.put.push(good.row);
                if let Some(why) = &good.unusable {
                    batch.quarantine.push((name.clone(), why.clone()));
                }
                actions.push(Action::Serve(name, good.entry, good.unusable));
            }
            Prepared::Gone(name, revision) => {
                batch.remove.push(name.clone());
                actions.push(Action::Remove(name.clone()));
                changed.push(Changed {
                    name,
                    revision,
                    at: None,
                });
            }
            Prepared::Bad { name, why } => {
                batch.quarantine.push((name.clone(), why.clone()));
                actions.push(Action::Quarantine(name, why));
            }
            Prepared::Nameless => {}
        }
    }
    (batch, actions, changed)
}

/// The domain that a key is of.
fn name_of(key: &Key) -> Option<Pattern> {
    let (_, name) = key.as_str().rsplit_once('/')?;
    let name = Pattern::parse(name).ok()?;
    (Key::domain(&name) == *key).then_some(name)
}
