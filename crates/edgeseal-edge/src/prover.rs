//! Proves what is served by real handshakes, and reports it.
//!
//! After changes were applied, the edge connects to its own listener like any client, reads the
//! leaf of each changed domain (or both leaves, with one handshake per key kind), and reports the
//! fingerprints to the store, with the applied revision and the quarantined domains. A fingerprint
//! is reported only if a handshake has shown it. After bulk changes a sample is probed: the latest
//! changes, and before all others the domains that a caller waits for. A domain for which a
//! handshake shows something else, or fails, is reported as unproven and retried until it succeeds
//! or the domain is gone.
//!
//! The first report after a change is written promptly, further ones at most once a second, and one
//! a minute when nothing changed, which shows that the edge is alive. If a report cannot be
//! written, it is written later; serving does not depend on it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use edgeseal_core::{Backoff, DomainPattern, Timestamp, alarm::DiskUse, certificate::Digest};
use edgeseal_store::{
    CommitError, Key, Revision, SharedStore, Txn, Write,
    record::{EdgeRecord, Proof, encode},
    rollout::{HEARTBEAT_MS, REPORT_TTL_MS},
};
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{
    Options,
    index::{Host, Match},
    select::select,
    served_domain::{CertificateSet, KeyKind, Material},
    serving_state::ServingState,
    telemetry,
    tls::{OfferedKeys, Probe, ProbeError, ProbeResult, SetupError},
};

mod queue;
mod unproven;

pub(crate) use queue::{AppliedChange, ProofQueue};

use queue::PendingProof;
use unproven::UnprovenDomains;

/// Concurrent handshakes.
const AT_A_TIME: usize = 4;
/// Immediate attempts at a proof before the domain is reported as unproven.
const ATTEMPTS: u8 = 3;
/// Maximum number of proofs in a report: the latest. A proof is about 250 bytes of JSON.
const PROOFS_MAX: usize = 256;
/// Maximum number of quarantined domains in a report, and again of unproven ones. With names of 253
/// bytes and reasons that contain one, a report stays below 400 kB; a value may have 1 MiB.
const NAMED_MAX: usize = 256;
/// Minimum interval between two reports.
const REPORT_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Interval between two reports if nothing changed.
const HEARTBEAT: Duration = Duration::from_millis(HEARTBEAT_MS.unsigned_abs());
/// Time limit for the store to accept a report.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// Proves and reports.
pub(crate) struct Prover {
    serving: Arc<ServingState>,
    proof_queue: Arc<ProofQueue>,
    probe: Probe,
    store: SharedStore,
    clock: fn() -> Timestamp,
    key: Key,
    record: EdgeRecord,
    unproven: UnprovenDomains,
    directory: PathBuf,
    disk_free: Option<u64>,
}

/// The keys offered, and what the handshake showed.
type ProbedHandshake = (OfferedKeys, ProbeResult);

/// The outcome of one attempt to prove a domain.
enum Outcome {
    /// The handshakes showed the expected state.
    Proof(Box<Proof>),
    /// The domain is gone, or changed during the probe: its next change proves it.
    Superseded,
    /// A handshake failed, or showed something else.
    Failed {
        /// What was seen.
        reason: String,
        /// The state that should have been seen.
        revision: Revision,
    },
}

/// What handshakes should show.
#[derive(Debug, PartialEq, Eq)]
struct ExpectedState {
    /// The first certificate first.
    handshakes: Vec<ProbedHandshake>,
    /// The commit of this state, or an earlier one.
    revision: Revision,
}

/// Why the prover woke up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wake {
    /// There is something to prove or to report.
    Changed,
    /// The last report is a minute old.
    Heartbeat,
    /// A failed proof is due for a retry.
    Retry,
}

impl Prover {
    /// A prover of an edge with these options, for its listener.
    pub(crate) fn new(
        serving: Arc<ServingState>,
        applied: Arc<ProofQueue>,
        store: SharedStore,
        clock: fn() -> Timestamp,
        options: &Options,
        listener: SocketAddr,
    ) -> Result<Self, SetupError> {
        let reached_at = options.probe_address.unwrap_or(listener);
        Ok(Self {
            serving,
            proof_queue: applied,
            probe: Probe::new(reached_at, options.uses_proxy_protocol())?,
            store,
            clock,
            key: Key::edge(&options.group, &options.id),
            record: EdgeRecord::new(&options.group, &options.id),
            unproven: UnprovenDomains::default(),
            directory: options.directory.clone(),
            disk_free: options.disk_free,
        })
    }

    /// Proves and reports until `stop` is ready; then withdraws the report, because nobody should
    /// wait for an edge that was drained.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.prove_and_report() => {}
            () = stop => {}
        }
        let withdrawn = Txn {
            write: vec![Write::Delete(self.key)],
            ..Txn::default()
        };
        let _ = timeout(REPORT_INTERVAL_MIN, self.store.commit(withdrawn)).await;
    }

    async fn prove_and_report(&mut self) {
        telemetry::quarantined(self.serving.quarantine().len());
        telemetry::unproven(self.unproven.len());
        // The first report announces the edge.
        self.proof_queue.request_report();
        let mut written = Instant::now();
        loop {
            let wake = self.wait_for_news(written + HEARTBEAT).await;
            let next = Instant::now() + REPORT_INTERVAL_MIN;
            let changed = self.prove().await;
            if changed || wake != Wake::Retry {
                self.report().await;
                written = Instant::now();
            }
            sleep_until(next).await;
        }
    }

    async fn wait_for_news(&self, heartbeat: Instant) -> Wake {
        let retry = self.unproven.next_retry();
        loop {
            if self.proof_queue.is_report_due() {
                return Wake::Changed;
            }
            tokio::select! {
                () = self.proof_queue.notified() => {}
                () = self.serving.quarantine().changed() => return Wake::Changed,
                () = sleep_until(heartbeat) => return Wake::Heartbeat,
                () = sleep_until(retry.unwrap_or(heartbeat)), if retry.is_some() => return Wake::Retry,
            }
        }
    }

    /// Runs the proofs that are due. Returns whether there is anything new to report.
    async fn prove(&mut self) -> bool {
        let (revision, mut due) = self.proof_queue.take();
        for again in self.unproven.due(Instant::now(), ATTEMPTS) {
            let name = &again.changed.name;
            if due.iter().all(|have| have.changed.name != *name) {
                due.push(again);
            }
        }
        due.retain(|due| !(due.requested && self.is_proven(&due.changed)));
        let this = &*self;
        let attempts: Vec<_> = due
            .into_iter()
            .map(|due| async move {
                let outcome = this.prove_one(&due.changed).await;
                (due, outcome)
            })
            .collect();
        let outcomes: Vec<(PendingProof, Outcome)> =
            stream::iter(attempts).buffered(AT_A_TIME).collect().await;
        let (unproven, mut tried_again) = (self.unproven.len(), false);
        let mut news = false;
        for (due, outcome) in outcomes {
            news |= matches!(outcome, Outcome::Proof(_));
            tried_again |= self.record_outcome(due, outcome);
        }
        self.record.proofs.truncate(PROOFS_MAX);
        self.proof_queue.set_unproven(self.unproven.len());
        // The report claims only what was seen: while a proof is retried, its revision does not
        // advance.
        if !tried_again {
            self.record.revision = revision.0;
        }
        news || unproven != self.unproven.len()
    }

    /// Whether the report has a proof of this state or a later one.
    fn is_proven(&self, state: &AppliedChange) -> bool {
        let mut proofs = self.record.proofs.iter();
        proofs.any(|proof| proof.domain == state.name && proof.revision >= state.revision.0)
    }

    /// Records the outcome of an attempt. Returns whether it is retried at once.
    fn record_outcome(&mut self, due: PendingProof, outcome: Outcome) -> bool {
        let name = &due.changed.name;
        self.record.proofs.retain(|proof| proof.domain != *name);
        match outcome {
            Outcome::Proof(proof) => {
                telemetry::proof_latency(proof.propagation_ms());
                self.unproven.recover(name);
                self.record.proofs.insert(0, *proof);
                false
            }
            Outcome::Superseded => {
                self.unproven.forget(name);
                false
            }
            Outcome::Failed { .. } if due.attempts + 1 < ATTEMPTS => {
                let attempts = due.attempts + 1;
                self.proof_queue.retry(PendingProof { attempts, ..due });
                true
            }
            Outcome::Failed { reason, revision } => {
                self.unproven.put(name, reason, revision, (self.clock)());
                false
            }
        }
    }

    async fn prove_one(&self, changed: &AppliedChange) -> Outcome {
        let name = &changed.name;
        if self.serving.index().get(name).is_none() {
            return Outcome::Superseded;
        }
        let Some(host) = self.host(name) else {
            return Outcome::Failed {
                reason: "no host name is left that only the wildcard matches".to_owned(),
                revision: changed.revision,
            };
        };
        let Some(before) = self.expected(name, &host) else {
            return Outcome::Superseded;
        };
        let seen = self.probe_all(&host, &before.handshakes).await;
        let at = (self.clock)();
        let after = self.expected(name, &host);
        let shown = [Some(&before), after.as_ref()].into_iter().flatten();
        let shown = seen.as_ref().ok().and_then(|seen| {
            let mut shown = shown.filter(|expected| expected.handshakes == *seen);
            shown.next()
        });
        if let Some(shown) = shown {
            telemetry::proof(true);
            let mut leaves = shown.handshakes.iter().map(|(_, seen)| match seen {
                ProbeResult::Leaf(digest) => Some(digest.to_string()),
                ProbeResult::UnrecognizedName => None,
            });
            return Outcome::Proof(Box::new(Proof {
                domain: name.clone(),
                sha256: leaves.next().flatten(),
                companion: leaves.next().flatten(),
                revision: shown.revision.0,
                at,
                // The time of a change belongs to the state that it made.
                changed_at: changed.at.filter(|_| shown.revision == changed.revision),
            }));
        }
        if after.as_ref() != Some(&before) {
            return Outcome::Superseded;
        }
        telemetry::proof(false);
        let reason = match seen {
            Ok(seen) => not_shown(&before.handshakes, &seen),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            domain.name = %name,
            reason,
            expected = ?before.handshakes,
            "a handshake with the edge's own listener did not show the expected certificate"
        );
        Outcome::Failed {
            reason,
            revision: before.revision,
        }
    }

    /// Makes these handshakes.
    async fn probe_all(
        &self,
        host: &str,
        wanted: &[ProbedHandshake],
    ) -> Result<Vec<ProbedHandshake>, ProbeError> {
        let mut seen = Vec::with_capacity(wanted.len());
        for (offer, _) in wanted {
            seen.push((*offer, self.probe.probe(host, *offer).await?));
        }
        Ok(seen)
    }

    /// A host name that the domain serves: below a wildcard one that has no domain of its own.
    fn host(&self, name: &DomainPattern) -> Option<String> {
        const LABELS: [&str; 6] = ["edgeseal-proof", "edgeseal-proof-2", "p", "q", "p-3", "q-4"];
        let base = match name {
            DomainPattern::Exact(name) => return Some(name.as_str().to_owned()),
            DomainPattern::Wildcard(base) => base,
        };
        let mut hosts = LABELS.iter().map(|label| format!("{label}.{base}"));
        hosts.find(|host| {
            let found = Host::parse(host).and_then(|host| self.serving.index().find(&host));
            found.is_some_and(|(_, found)| found == Match::Wildcard)
        })
    }

    /// What handshakes should show, the first certificate first; `None` if handshakes cannot show
    /// the state of this domain.
    fn expected(&self, name: &DomainPattern, host: &str) -> Option<ExpectedState> {
        let index = self.serving.index();
        // The revision first: what is selected is of this commit or a later one.
        let (entry, found) = index.find(&Host::parse(host)?)?;
        if name.is_wildcard() != (found == Match::Wildcard) {
            return None;
        }
        let shows = match select(index, Some(host)) {
            Ok(selected) => expected_handshakes(&selected.material.as_set()),
            Err(_) => vec![(OfferedKeys::Any, ProbeResult::UnrecognizedName)],
        };
        Some(ExpectedState {
            handshakes: shows,
            revision: entry.revision,
        })
    }

    /// Writes the report; retries until the store accepts it.
    async fn report(&mut self) {
        const BACKOFF: Backoff = Backoff::doubling(REPORT_INTERVAL_MIN, Duration::from_secs(30));
        let mut retries = 0;
        loop {
            let (quarantine, unproven) = (self.serving.quarantine(), &self.unproven);
            self.record.at = (self.clock)();
            self.record.challenge_revision = self.proof_queue.challenge_revision().0;
            self.record.domains = self.serving.index().len() as u64;
            self.record.quarantined = quarantine.some(None, NAMED_MAX);
            self.record.quarantined_total = quarantine.len() as u64;
            self.record.unproven = unproven.some(NAMED_MAX);
            self.record.unproven_total = unproven.len() as u64;
            self.record.disk = disk_use(&self.directory, self.disk_free);
            match timeout(STORE_TIMEOUT, self.write()).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the report cannot be written; retrying"
                ),
                Err(_) => tracing::warn!("the store does not accept the report; retrying"),
            }
            sleep(BACKOFF.delay(retries)).await;
            retries += 1;
            // Changes applied meanwhile belong in the report as well.
            self.prove().await;
        }
    }

    async fn write(&self) -> Result<Revision, CommitError> {
        let put = Write::Put {
            key: self.key.clone(),
            value: encode(&self.record)?,
            // The report of an edge that died expires.
            expires: Some(self.record.at.plus_ms(REPORT_TTL_MS)),
        };
        let txn = Txn {
            write: vec![put],
            ..Txn::default()
        };
        self.store.commit(txn).await
    }
}

fn disk_use(directory: &Path, wanted: Option<u64>) -> Option<DiskUse> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    Some(DiskUse {
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
        total: disk.f_blocks.saturating_mul(disk.f_frsize),
        wanted,
    })
}

#[cfg(test)]
mod tests;

/// The handshakes that show everything that is served.
fn expected_handshakes(choice: &CertificateSet<'_>) -> Vec<ProbedHandshake> {
    let leaf = |material: &Material| ProbeResult::Leaf(Digest::of(material.leaf()));
    match choice {
        CertificateSet::Single(material) => vec![(OfferedKeys::Any, leaf(material))],
        CertificateSet::Pair { ecdsa, rsa, first } => {
            let ecdsa = (OfferedKeys::Only(KeyKind::Ecdsa), leaf(ecdsa));
            let rsa = (OfferedKeys::Only(KeyKind::Rsa), leaf(rsa));
            match first {
                KeyKind::Ecdsa => vec![ecdsa, rsa],
                KeyKind::Rsa => vec![rsa, ecdsa],
            }
        }
    }
}

/// Describes the first handshake that did not show the expected result.
fn not_shown(wanted: &[ProbedHandshake], seen: &[ProbedHandshake]) -> String {
    let mut differing = seen
        .iter()
        .zip(wanted)
        .filter(|(seen, wanted)| seen != wanted);
    match differing.next().map(|((_, seen), _)| seen) {
        Some(ProbeResult::Leaf(other)) => format!("the listener served another leaf, {other}"),
        Some(ProbeResult::UnrecognizedName) | None => "the listener refused the name".to_owned(),
    }
}
