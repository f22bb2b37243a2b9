//! What is served, read from real handshakes, and the report of it.
//!
//! After changes were applied, the edge connects to its own listener like any client, reads the leaf
//! of each changed domain, and reports the fingerprints and the revision to the store. A report
//! never says of a domain what was not seen. In bulk a sample is read: the latest of what changed.
//!
//! A report goes out promptly after the first change, then once a second at most, and once a minute
//! when nothing changed, so that it can be told which edges live. A report that cannot be written is
//! written later; serving does not depend on it.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use edgeseal_core::{Pattern, Timestamp, certificate::Digest};
use edgeseal_store::{
    CommitError, Key, Revision, SharedStore, Txn, Write,
    record::{EdgeRecord, Proof, encode},
};
use futures_util::{StreamExt as _, stream};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    follow::Holdings,
    index::{Host, Match},
    select::select,
    telemetry,
    tls::{Probe, Seen, SetupError},
};

/// Domains read after one batch of changes, which is also at most this many a second.
const SAMPLE: usize = 32;
/// Handshakes at a time.
const AT_A_TIME: usize = 4;
/// How often a proof is tried before it is given up.
const ATTEMPTS: u8 = 3;
/// Proofs in a report: the latest. A proof is about 150 octets of JSON.
const PROOFS_MAX: usize = 128;
/// Quarantined domains in a report, so that it stays far below the 1 MiB of a value.
const QUARANTINED_MAX: usize = 1000;
/// Between two reports.
const PACE: Duration = Duration::from_secs(1);
/// Between two reports if nothing changed.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// What a store has to take a report.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// What was applied and not yet proved: written by the follower, read by the prover.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    state: Mutex<Pending>,
    told: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    revision: Revision,
    /// Latest last, each once, with the attempts made.
    changed: VecDeque<(Pattern, u8)>,
    /// Whether there is anything to report.
    news: bool,
}

/// Proves and reports.
pub(crate) struct Prover {
    holdings: Arc<Holdings>,
    applied: Arc<Applied>,
    probe: Probe,
    store: SharedStore,
    clock: fn() -> Timestamp,
    key: Key,
    record: EdgeRecord,
}

/// What one attempt to prove a domain came to.
enum Outcome {
    /// Seen as it should be.
    Proof(Proof),
    /// The domain is not there any more, or changes under the probe: its next change proves it.
    Moot,
    /// Not seen, or not as it should be.
    Failed,
}

impl Applied {
    /// Says that all changes up to `revision` are served, and which domains changed last.
    pub(crate) fn tell(&self, revision: Revision, changed: Vec<Pattern>) {
        let mut state = self.lock();
        state.revision = revision;
        state.news |= !changed.is_empty();
        state.push_latest(changed);
        drop(state);
        self.told.notify_one();
    }

    /// Says which domains changed, before a revision is reached.
    pub(crate) fn tell_changed(&self, changed: Vec<Pattern>) {
        self.lock().push_latest(changed);
    }

    /// Has a report written even if no domain changed, as after a listing.
    pub(crate) fn report_anyway(&self) {
        self.lock().news = true;
        self.told.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn push_latest(&mut self, changed: Vec<Pattern>) {
        let skipped = changed.len().saturating_sub(SAMPLE);
        for name in changed.into_iter().skip(skipped) {
            self.push(name, 0);
        }
    }

    fn push(&mut self, name: Pattern, attempts: u8) {
        self.changed.retain(|(have, _)| *have != name);
        self.changed.push_back((name, attempts));
        while self.changed.len() > SAMPLE {
            self.changed.pop_front();
        }
    }
}

impl Prover {
    /// A prover for the listener bound to `https`, which expects headers of the PROXY protocol or not, that reports as edge `id` of `group`.
    pub(crate) fn new(
        holdings: Arc<Holdings>,
        applied: Arc<Applied>,
        store: SharedStore,
        clock: fn() -> Timestamp,
        (group, id): (&str, &str),
        (https, expects_headers): (SocketAddr, bool),
    ) -> Result<Self, SetupError> {
        Ok(Self {
            holdings,
            applied,
            probe: Probe::new(https, expects_headers)?,
            store,
            clock,
            key: Key::edge(group, id),
            record: EdgeRecord {
                id: id.to_owned(),
                group: group.to_owned(),
                revision: 0,
                at: Timestamp::default(),
                domains: 0,
                quarantined: Vec::new(),
                proofs: Vec::new(),
            },
        })
    }

    /// Proves and reports until `stop` is ready; then takes the report back, since an edge that was
    /// drained is no edge that anybody should wait for.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.prove_and_report() => {}
            () = stop => {}
        }
        let withdrawn = Txn {
            write: vec![Write::Delete(self.key)],
            ..Txn::default()
        };
        let _ = timeout(PACE, self.store.commit(withdrawn)).await;
    }

    async fn prove_and_report(&mut self) {
        // The first report says that the edge is there.
        self.applied.report_anyway();
        let mut written = Instant::now();
        loop {
            self.wait_for_news(written + HEARTBEAT).await;
            let next = Instant::now() + PACE;
            self.prove().await;
            self.report().await;
            written = Instant::now();
            sleep_until(next).await;
        }
    }

    async fn wait_for_news(&self, heartbeat: Instant) {
        loop {
            if self.applied.lock().news {
                return;
            }
            tokio::select! {
                () = self.applied.told.notified() => {}
                () = self.holdings.quarantine().changed() => return,
                () = sleep_until(heartbeat) => return,
            }
        }
    }

    async fn prove(&mut self) {
        let (revision, changed) = {
            let mut pending = self.applied.lock();
            pending.news = false;
            (pending.revision, std::mem::take(&mut pending.changed))
        };
        let this = &*self;
        let attempts: Vec<_> = changed
            .into_iter()
            .map(|(name, attempts)| async move {
                let outcome = this.prove_one(&name).await;
                (name, attempts + 1, outcome)
            })
            .collect();
        let outcomes: Vec<(Pattern, u8, Outcome)> =
            stream::iter(attempts).buffered(AT_A_TIME).collect().await;
        let mut pending_proofs = false;
        for (name, attempts, outcome) in outcomes {
            self.record.proofs.retain(|proof| proof.domain != name);
            match outcome {
                Outcome::Proof(proof) => self.record.proofs.insert(0, proof),
                Outcome::Moot => {}
                Outcome::Failed if attempts < ATTEMPTS => {
                    pending_proofs = true;
                    let mut pending = self.applied.lock();
                    if pending.changed.iter().all(|(have, _)| *have != name) {
                        pending.push(name, attempts);
                    }
                    pending.news = true;
                }
                Outcome::Failed => tracing::error!(
                    domain.name = %name,
                    "what is served for the domain could not be proved; it is reported without"
                ),
            }
        }
        self.record.proofs.truncate(PROOFS_MAX);
        // "Served" means seen: while a proof is tried again, the report stays at what it said.
        if !pending_proofs {
            self.record.revision = revision.0;
        }
    }

    async fn prove_one(&self, name: &Pattern) -> Outcome {
        let host = match name {
            Pattern::Exact(name) => name.as_str().to_owned(),
            Pattern::Wildcard(base) => format!("edgeseal-proof.{base}"),
        };
        let Some(before) = self.expected(name, &host) else {
            return Outcome::Moot;
        };
        let seen = self.probe.see(&host).await;
        let after = self.expected(name, &host);
        match seen {
            Ok(seen) if seen == before || Some(&seen) == after.as_ref() => {
                telemetry::proof(true);
                let sha256 = match seen {
                    Seen::Leaf(digest) => Some(digest.to_string()),
                    Seen::Refused => None,
                };
                let domain = name.clone();
                Outcome::Proof(Proof { domain, sha256 })
            }
            _ if after.as_ref() != Some(&before) => Outcome::Moot,
            Ok(seen) => {
                telemetry::proof(false);
                tracing::error!(
                    domain.name = %name,
                    ?seen,
                    expected = ?before,
                    "the listener serves something else than it should"
                );
                Outcome::Failed
            }
            Err(error) => {
                telemetry::proof(false);
                tracing::warn!(
                    domain.name = %name,
                    error = &error as &dyn std::error::Error,
                    "a handshake with the own listener failed"
                );
                Outcome::Failed
            }
        }
    }

    /// What a handshake should show; `None` if nothing can be said of this domain by it.
    fn expected(&self, name: &Pattern, host: &str) -> Option<Seen> {
        let index = self.holdings.index();
        let found = index.find(&Host::parse(host)?)?.1;
        if name.is_wildcard() != (found == Match::Wildcard) {
            return None;
        }
        Some(match select(index, Some(host)) {
            Ok(selected) => Seen::Leaf(Digest::of(selected.material.leaf())),
            Err(_) => Seen::Refused,
        })
    }

    /// Writes the report; tries again until the store takes it.
    async fn report(&mut self) {
        let mut pause = PACE;
        loop {
            self.record.at = (self.clock)();
            self.record.domains = self.holdings.index().len() as u64;
            self.record.quarantined = self.holdings.quarantine().some(None, QUARANTINED_MAX);
            match timeout(STORE_PATIENCE, self.write()).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the report cannot be written; trying again"
                ),
                Err(_) => tracing::warn!("the store does not take the report; trying again"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(30));
            // What changed meanwhile belongs into the report as well.
            self.prove().await;
        }
    }

    async fn write(&self) -> Result<Revision, CommitError> {
        let put = Write::Put {
            key: self.key.clone(),
            value: encode(&self.record)?,
            expires: None,
        };
        let txn = Txn {
            write: vec![put],
            ..Txn::default()
        };
        self.store.commit(txn).await
    }
}
