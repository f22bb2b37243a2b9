//! What is observed for an evaluation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use edgeseal_api::key_encryption::{KeyEncryption, ResealState};
use edgeseal_core::{
    DomainPattern, Timestamp,
    alarm::{Alarm, AlarmId, Code, EdgeReport, KeyEncryptionFacts, Snapshot},
    outside::Selection,
};
use edgeseal_store::{Catalog, Fault, audit_linker::Unlinked, record::EdgeRecord, reseal};
use tokio::sync::watch;

use super::{
    certificates::ServedCertificates, orders::FailedOrders, renewals::MissedRenewals,
    visitors::VisitorsOfDomains,
};
use crate::{error_chain::error_chain, revocable_store::RevocableStore};

const DAY_MS: i64 = 86_400_000;

/// What a run of the alarms observes.
pub(crate) struct Sources {
    pub(crate) catalog: Catalog,
    /// Tells whether commits succeed.
    pub(crate) store: Arc<RevocableStore>,
    pub(crate) key_encryption: Arc<dyn KeyEncryption>,
    pub(crate) audit: AuditLinking,
    /// Age at which a key-encryption key should be rotated; 0: never.
    pub(crate) kek_max_age_days: u32,
    /// The domains that are checked from outside; `None`: none.
    pub(crate) outside: Option<Selection>,
}

/// Whether audit records are linked.
pub(crate) enum AuditLinking {
    /// The linker runs as long as the sender exists.
    Runs(watch::Receiver<Option<Unlinked>>),
    /// It does not run, for this reason.
    Off(&'static str),
    /// The store is unavailable.
    Unknown,
}

/// What is known from one evaluation to the next.
#[derive(Default)]
pub(super) struct Observed {
    pub(super) certificates: ServedCertificates,
    orders: FailedOrders,
    renewals: MissedRenewals,
    visitors: VisitorsOfDomains,
}

impl Observed {
    /// Observes everything. A failure of the store is an observation as well. `alarms` are those so
    /// far: what has one is checked in any case.
    pub(super) async fn observe(
        &mut self,
        sources: &Sources,
        alarms: &BTreeMap<AlarmId, Alarm>,
        interval: Duration,
        now: Timestamp,
    ) -> Snapshot {
        let mut snapshot = Snapshot {
            unlinked_audits: unlinked_audits(&sources.audit),
            ..Snapshot::default()
        };
        let unavailable = sources.store.unavailable_reason();
        let mut failure = unavailable
            .map(|reason| reason.to_string())
            .or_else(|| sources.store.commit_failure());
        // One by one, so that what cannot be read leaves the others alone.
        let catalog = &sources.catalog;
        let mut keep = |fault: Fault| {
            failure.get_or_insert_with(|| error_chain(&fault));
        };
        match catalog.decodable_edges().await {
            // Without a report, such as after a start, nothing is known of edges.
            Ok(edges) if edges.is_empty() => {}
            Ok(edges) => {
                let edges = edges.iter().map(|edge| edge_report(edge, now));
                snapshot.edges = Some(edges.collect());
            }
            Err(fault) => keep(fault),
        }
        match key_encryption(sources).await {
            Ok(facts) => snapshot.key_encryption = Some(facts),
            Err(fault) => keep(fault),
        }
        let certificates = &mut self.certificates;
        match certificates.refresh(catalog, alarms, interval, now).await {
            Ok(()) => snapshot.certificates = Some(certificates.due(now).cloned().collect()),
            Err(fault) => keep(fault),
        }
        match self.orders.refresh(catalog, alarms, interval).await {
            Ok(()) => snapshot.failed_orders = Some(self.orders.failed()),
            Err(fault) => keep(fault),
        }
        let selection = sources.outside.as_ref();
        let visitors = &mut self.visitors;
        match visitors.refresh(catalog, alarms, interval, selection).await {
            Ok(()) => snapshot.misled_visitors = Some(self.visitors.misled()),
            Err(fault) => keep(fault),
        }
        match self.renewals.refresh(catalog, alarms, interval, now).await {
            Ok(()) => snapshot.missed_renewals = Some(self.renewals.missed()),
            Err(fault) => keep(fault),
        }
        if failure.is_none() {
            snapshot.left_out = self.left_out();
        }
        snapshot.store_failure = Some(failure);
        snapshot
    }

    /// How many renewals were missed.
    pub(super) fn missed_renewals(&self) -> u64 {
        self.renewals.missed().len() as u64 + self.renewals.left_out().unwrap_or_default()
    }

    fn left_out(&self) -> Option<BTreeMap<Code, u64>> {
        Some(BTreeMap::from([
            (Code::CertificateExpiring, self.certificates.left_out()),
            (Code::OrderFailed, self.orders.left_out()),
            (Code::RenewalMissed, self.renewals.left_out()?),
            (Code::VisitorsMisled, self.visitors.left_out()),
        ]))
    }
}

fn edge_report(edge: &EdgeRecord, now: Timestamp) -> EdgeReport {
    let pair = |domain: &DomainPattern, reason: &str| (domain.clone(), reason.to_owned());
    let quarantined = edge.quarantined.iter();
    let unproven = edge.unproven.iter();
    EdgeReport {
        name: format!("{}/{}", edge.group, edge.id),
        at: edge.at,
        is_silent: edge.is_silent(now),
        quarantined: quarantined.map(|it| pair(&it.domain, &it.reason)).collect(),
        unproven: unproven.map(|it| pair(&it.domain, &it.reason)).collect(),
        quarantined_more: edge.quarantined_count() - edge.quarantined.len() as u64,
        unproven_more: edge
            .unproven_total
            .saturating_sub(edge.unproven.len() as u64),
        disk: edge.disk,
    }
}

async fn key_encryption(sources: &Sources) -> Result<KeyEncryptionFacts, Fault> {
    let status = sources.key_encryption.status();
    let store = &**sources.catalog.store();
    let finished = match reseal::finished_at(store).await {
        // Resealing is about to write another.
        Err(fault) if fault.is_undecodable() => None,
        finished => finished?,
    };
    let since = finished.filter(|(key, _)| status.keys.first() == Some(key));
    let days = i64::from(sources.kek_max_age_days);
    Ok(KeyEncryptionFacts {
        active: status
            .keys
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
        since: since.map(|(_, at)| at),
        max_age_ms: (days > 0).then_some(days * DAY_MS),
        unopened: match status.resealing.state {
            ResealState::Running => None,
            ResealState::Finished => Some(0),
            ResealState::Stuck => Some(status.resealing.unopened),
        },
    })
}

fn unlinked_audits(audit: &AuditLinking) -> Option<BTreeMap<String, String>> {
    let linker = |why: &str| BTreeMap::from([("linker".to_owned(), why.to_owned())]);
    match audit {
        AuditLinking::Unknown => None,
        AuditLinking::Off(why) => Some(linker(why)),
        AuditLinking::Runs(unlinked) if unlinked.has_changed().is_err() => {
            Some(linker("the linker has stopped"))
        }
        AuditLinking::Runs(unlinked) => {
            let unlinked = unlinked.borrow();
            let unlinked = unlinked.as_ref()?;
            let tampered = unlinked.tampered.iter();
            let mut all: BTreeMap<String, String> = tampered
                .map(|(account, why)| (account.to_string(), why.clone()))
                .collect();
            if unlinked.is_behind {
                all.extend(linker(
                    "no record was linked for a minute although some wait",
                ));
            }
            Some(all)
        }
    }
}
