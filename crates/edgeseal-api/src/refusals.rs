//! Refusals on their way into the audit. Of many of one kind in a minute some are written, the rest
//! is counted, so that a flood does not fill the store.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use edgeseal_core::{AccountId, Timestamp};
use edgeseal_store::{Catalog, Fault, catalog::Deed};
use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::{code::Code, operation::causes};

/// How long refusals of one kind are gathered.
const WINDOW_MS: i64 = 60_000;
/// Refusals of one kind, on different things, that are written in that time.
const WRITTEN_MAX: usize = 50;
/// Calls without permission of one kind, on different things, that are written in that time.
const DENIED_MAX: usize = 1000;
/// Kinds of calls of one account whose caller is not proven, at one time: anybody can send them, from
/// many addresses; beyond, they are one kind.
const UNPROVEN_KINDS_MAX: usize = 60;
/// Kinds that are told apart at one time; beyond, those of one account are one kind.
const KINDS_MAX: usize = 4096;
/// How often it is looked whether a time is over.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// One refusal.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) deed: Deed,
    /// Its code on the wire.
    pub(crate) code: String,
    pub(crate) notes: Vec<String>,
}

/// Writes what comes until the senders are gone; what was only counted by then is written last.
pub(crate) async fn write(
    catalog: Catalog,
    clock: fn() -> Timestamp,
    mut waiting: mpsc::Receiver<Refusal>,
) {
    let mut gathered = Gathered::default();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            received = waiting.recv_many(&mut batch, 256) => {
                let entries: Vec<Entry> = batch.drain(..).map(|one| gathered.take(one)).collect();
                write_all(&catalog, entries).await;
                if received == 0 {
                    return write_all(&catalog, gathered.end()).await;
                }
            }
            _ = look.tick() => write_all(&catalog, gathered.over(clock())).await,
        }
    }
}

async fn write_all(catalog: &Catalog, entries: Vec<Entry>) {
    // At once, so that the store commits them together.
    let writes = entries.iter().map(|entry| entry.write(catalog));
    for fault in join_all(writes).await.into_iter().filter_map(Result::err) {
        metrics::counter!("edgeseal_audit_dropped_total").increment(1);
        tracing::error!(
            why = causes(&fault),
            "a refusal could not be written into the audit"
        );
    }
}

/// What the store is to hold of a refusal.
#[derive(Debug)]
enum Entry {
    /// A record.
    Record(Refusal),
    /// That its nonce is used up.
    Nonce(Deed),
}

impl Entry {
    async fn write(&self, catalog: &Catalog) -> Result<(), Fault> {
        match self {
            Self::Record(refusal) => {
                let Refusal { deed, code, notes } = refusal;
                catalog.record_refusal(deed, code, notes).await
            }
            Self::Nonce(deed) => catalog.use_nonce_of_refusal(deed).await,
        }
    }
}

/// What makes refusals one kind.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    account: AccountId,
    is_proven: bool,
    code: String,
    /// Empty if the caller is not proven.
    action: String,
    source: String,
    /// Who lacked a permission; empty for other refusals.
    denied: String,
}

/// The refusals of one kind in one stretch of time.
struct Window {
    since: Timestamp,
    /// On what were those that were written: hashes.
    written: HashSet<u64>,
    left_out: u64,
    /// The last that was left out.
    last: Option<Refusal>,
}

/// The kinds of the last minute.
#[derive(Default)]
struct Gathered(HashMap<Kind, Window>);

impl Gathered {
    fn take(&mut self, refusal: Refusal) -> Entry {
        let now = refusal.deed.now;
        let kind = self.kind(&refusal);
        let window = self.0.entry(kind).or_insert_with(|| Window::new(now));
        if now.since_ms(window.since) >= WINDOW_MS {
            let over = std::mem::replace(window, Window::new(now));
            window.written.insert(thing(&refusal));
            return Entry::Record(refusal.counting(over.left_out));
        }
        let is_new = !window.written.contains(&thing(&refusal));
        let most = match &refusal {
            // What a call that nobody signed names is whatever its sender likes.
            one if !one.is_proven() => 1,
            // Each thing that somebody tries to do without permission is of interest; how many they
            // are is bounded by what a principal may be denied in that time.
            one if one.is_denial() => DENIED_MAX,
            _ => WRITTEN_MAX,
        };
        if is_new && window.written.len() < most {
            window.written.insert(thing(&refusal));
            return Entry::Record(refusal);
        }
        metrics::counter!("edgeseal_audit_coalesced_total").increment(1);
        window.left_out += 1;
        let deed = refusal.deed.clone();
        window.last = Some(refusal);
        Entry::Nonce(deed)
    }

    /// Records of those that were left out, of the kinds whose time is over.
    fn over(&mut self, now: Timestamp) -> Vec<Entry> {
        let over = |window: &Window| now.since_ms(window.since) >= WINDOW_MS;
        let ended = self.0.extract_if(|_, window| over(window));
        ended.filter_map(|(_, window)| window.summary()).collect()
    }

    fn end(self) -> Vec<Entry> {
        self.0.into_values().filter_map(Window::summary).collect()
    }

    fn kind(&self, refusal: &Refusal) -> Kind {
        let Refusal { deed, code, .. } = refusal;
        let is_proven = refusal.is_proven();
        let kind = Kind {
            account: deed.account.clone(),
            is_proven,
            code: code.clone(),
            action: if is_proven {
                deed.action.clone()
            } else {
                String::new()
            },
            source: deed.source.clone(),
            denied: if refusal.is_denial() {
                deed.principal.clone()
            } else {
                String::new()
            },
        };
        if self.0.contains_key(&kind) || self.has_room_for(&kind) {
            return kind;
        }
        Kind {
            code: String::new(),
            action: String::new(),
            source: String::new(),
            denied: String::new(),
            ..kind
        }
    }

    fn has_room_for(&self, kind: &Kind) -> bool {
        let is_like = |other: &&Kind| !other.is_proven && other.account == kind.account;
        self.0.len() < KINDS_MAX
            && (kind.is_proven || self.0.keys().filter(is_like).count() < UNPROVEN_KINDS_MAX)
    }
}

impl Window {
    fn new(since: Timestamp) -> Self {
        Self {
            since,
            written: HashSet::new(),
            left_out: 0,
            last: None,
        }
    }

    /// The last one that was left out stands for all of them.
    fn summary(self) -> Option<Entry> {
        let mut last = self.last?;
        // Used up when it was left out.
        last.deed.nonce = None;
        let others = self.left_out.saturating_sub(1);
        Some(Entry::Record(last.counting(others)))
    }
}

impl Refusal {
    /// Whether the call was signed by who it says it is from.
    const fn is_proven(&self) -> bool {
        !self.deed.principal.is_empty()
    }

    fn is_denial(&self) -> bool {
        self.code == Code::NoPermission.row().wire
    }

    fn counting(mut self, others: u64) -> Self {
        if others > 0 {
            self.notes.push(format!(
                "{others} more of this kind within a minute before were left out"
            ));
        }
        self
    }
}

fn thing(refusal: &Refusal) -> u64 {
    let mut hasher = DefaultHasher::new();
    refusal.deed.resource.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
