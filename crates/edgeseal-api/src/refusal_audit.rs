//! Writes refusals to the audit log. Of many refusals of one kind within a minute some are written
//! and the rest is counted, so that a flood does not fill the store.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use edgeseal_core::{AccountId, Timestamp};
use edgeseal_store::{Catalog, Fault, catalog::AuditContext};
use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::{code::Code, error::error_chain};

/// How long refusals of one kind are coalesced.
const WINDOW_MS: i64 = 60_000;
/// Most refusals of one kind, on different resources, that are written within a window.
const WRITTEN_MAX: usize = 50;
/// Most calls without permission of one kind, on different resources, that are written within a
/// window.
const DENIED_MAX: usize = 1000;
/// Most concurrent kinds of unauthenticated calls that name a key of one account: anybody can send
/// them, from many addresses. Beyond the limit they count as one kind.
const UNAUTHENTICATED_KEYS_MAX: usize = 60;
/// Most concurrent kinds; beyond the limit, the refusals of one account count as one kind.
const KEYS_MAX: usize = 4096;
/// How often windows are checked for their end.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// One refusal.
#[derive(Clone, Debug)]
pub(crate) struct AuditedRefusal {
    pub(crate) audit: AuditContext,
    /// The code on the wire.
    pub(crate) code: String,
    /// Whether the call would have changed nothing.
    pub(crate) is_dry_run: bool,
    pub(crate) notes: Vec<String>,
}

/// Writes refusals until the senders are dropped; counts that are pending then are written last.
pub(crate) async fn write(
    catalog: Catalog,
    clock: fn() -> Timestamp,
    mut waiting: mpsc::Receiver<AuditedRefusal>,
) {
    let mut gathered = Coalescer::default();
    let mut look = tokio::time::interval(FLUSH_INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            received = waiting.recv_many(&mut batch, 256) => {
                let entries: Vec<AuditWrite> = batch.drain(..).map(|one| gathered.add(one)).collect();
                write_all(&catalog, entries).await;
                if received == 0 {
                    return write_all(&catalog, gathered.finish()).await;
                }
            }
            _ = look.tick() => write_all(&catalog, gathered.expire(clock())).await,
        }
    }
}

async fn write_all(catalog: &Catalog, entries: Vec<AuditWrite>) {
    // Concurrently, so that the store commits them together.
    let writes = entries.iter().map(|entry| entry.write(catalog));
    for fault in join_all(writes).await.into_iter().filter_map(Result::err) {
        metrics::counter!("edgeseal_audit_dropped_total").increment(1);
        tracing::error!(
            error = error_chain(&fault),
            "cannot write a refusal to the audit log"
        );
    }
}

/// What is stored for a refusal.
#[derive(Debug)]
enum AuditWrite {
    /// A record.
    Record(AuditedRefusal),
    /// The use of its nonce.
    Nonce(AuditContext),
}

impl AuditWrite {
    async fn write(&self, catalog: &Catalog) -> Result<(), Fault> {
        match self {
            Self::Record(refusal) => {
                let AuditedRefusal {
                    audit, code, notes, ..
                } = refusal;
                catalog.record_refusal(audit, code, notes).await
            }
            Self::Nonce(audit) => catalog.consume_nonce(audit).await,
        }
    }
}

/// What makes refusals the same kind.
#[derive(Clone, PartialEq, Eq, Hash)]
struct RefusalKey {
    account: AccountId,
    is_authenticated: bool,
    is_dry_run: bool,
    code: String,
    /// Empty if the caller is not authenticated.
    action: String,
    source: String,
    /// The principal without permission; empty for other refusals.
    denied: String,
}

/// The refusals of one kind in one window.
struct Window {
    since: Timestamp,
    /// Hashes of the resources of the refusals that were written.
    written: HashSet<u64>,
    suppressed: u64,
    /// The last suppressed refusal.
    last: Option<AuditedRefusal>,
}

/// The kinds of the last minute.
#[derive(Default)]
struct Coalescer(HashMap<RefusalKey, Window>);

impl Coalescer {
    fn add(&mut self, refusal: AuditedRefusal) -> AuditWrite {
        let now = refusal.audit.now;
        let kind = self.key(&refusal);
        let window = self.0.entry(kind).or_insert_with(|| Window::new(now));
        if now.since_ms(window.since) >= WINDOW_MS {
            let over = std::mem::replace(window, Window::new(now));
            window.written.insert(resource_hash(&refusal));
            return AuditWrite::Record(refusal.with_suppressed_count(over.suppressed));
        }
        let is_new = !window.written.contains(&resource_hash(&refusal));
        let most = match &refusal {
            // The sender of an unsigned call can name any resource.
            one if !one.is_authenticated() => 1,
            // Each resource of a denied call is of interest; their number is bounded by the limit
            // on a principal's denials in that time.
            one if one.is_denial() => DENIED_MAX,
            _ => WRITTEN_MAX,
        };
        if is_new && window.written.len() < most {
            window.written.insert(resource_hash(&refusal));
            return AuditWrite::Record(refusal);
        }
        metrics::counter!("edgeseal_audit_coalesced_total").increment(1);
        window.suppressed += 1;
        let audit = refusal.audit.clone();
        window.last = Some(refusal);
        AuditWrite::Nonce(audit)
    }

    /// The summaries of suppressed refusals, of windows that have ended.
    fn expire(&mut self, now: Timestamp) -> Vec<AuditWrite> {
        let over = |window: &Window| now.since_ms(window.since) >= WINDOW_MS;
        let ended = self.0.extract_if(|_, window| over(window));
        ended.filter_map(|(_, window)| window.summary()).collect()
    }

    fn finish(self) -> Vec<AuditWrite> {
        self.0.into_values().filter_map(Window::summary).collect()
    }

    fn key(&self, refusal: &AuditedRefusal) -> RefusalKey {
        let AuditedRefusal { audit, code, .. } = refusal;
        let is_proven = refusal.is_authenticated();
        let kind = RefusalKey {
            account: audit.account.clone(),
            is_authenticated: is_proven,
            is_dry_run: refusal.is_dry_run,
            code: code.clone(),
            action: if is_proven {
                audit.action.clone()
            } else {
                String::new()
            },
            source: audit.source.clone(),
            denied: if refusal.is_denial() {
                audit.principal.clone()
            } else {
                String::new()
            },
        };
        if self.0.contains_key(&kind) || self.has_capacity_for(&kind) {
            return kind;
        }
        RefusalKey {
            code: String::new(),
            action: String::new(),
            source: String::new(),
            denied: String::new(),
            ..kind
        }
    }

    fn has_capacity_for(&self, kind: &RefusalKey) -> bool {
        let is_like =
            |other: &&RefusalKey| !other.is_authenticated && other.account == kind.account;
        self.0.len() < KEYS_MAX
            && (kind.is_authenticated
                || self.0.keys().filter(is_like).count() < UNAUTHENTICATED_KEYS_MAX)
    }
}

impl Window {
    fn new(since: Timestamp) -> Self {
        Self {
            since,
            written: HashSet::new(),
            suppressed: 0,
            last: None,
        }
    }

    /// The last suppressed refusal represents all of them.
    fn summary(self) -> Option<AuditWrite> {
        let mut last = self.last?;
        // The nonce was stored when the refusal was suppressed.
        last.audit.nonce = None;
        let others = self.suppressed.saturating_sub(1);
        Some(AuditWrite::Record(last.with_suppressed_count(others)))
    }
}

impl AuditedRefusal {
    /// Whether the caller is authenticated.
    const fn is_authenticated(&self) -> bool {
        !self.audit.principal.is_empty()
    }

    fn is_denial(&self) -> bool {
        self.code == Code::NoPermission.spec().wire_code
    }

    fn with_suppressed_count(mut self, others: u64) -> Self {
        if others > 0 {
            self.notes.push(format!(
                "{others} more of this kind within a minute before were left out"
            ));
        }
        self
    }
}

fn resource_hash(refusal: &AuditedRefusal) -> u64 {
    let mut hasher = DefaultHasher::new();
    refusal.audit.resource.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
