//! What is observed for an evaluation.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use edgeseal_api::key_encryption::{KeyEncryption, ResealState};
use edgeseal_core::{
    DomainPattern, Timestamp,
    alarm::{DiskUse, EdgeReport, KeyEncryptionFacts, Snapshot},
    outside::Selection,
};
use edgeseal_store::{Catalog, Fault, audit_linker::Tampered, record::EdgeRecord, reseal};
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
    /// The data directory.
    pub(crate) data: PathBuf,
    /// Age at which a key-encryption key should be rotated; 0: never.
    pub(crate) kek_max_age_days: u32,
    /// The domains that are looked at from outside; `None`: none.
    pub(crate) outside: Option<Selection>,
}

/// Whether audit records are linked.
pub(crate) enum AuditLinking {
    /// The linker runs as long as the sender exists.
    Runs(watch::Receiver<Tampered>),
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
    /// Observes everything. A failure of the store is an observation as well.
    pub(super) async fn observe(
        &mut self,
        sources: &Sources,
        interval: Duration,
        now: Timestamp,
    ) -> Snapshot {
        let mut snapshot = Snapshot {
            disk: disk_use(&sources.data),
            unlinked_audits: unlinked_audits(&sources.audit),
            ..Snapshot::default()
        };
        let unavailable = sources.store.unavailable_reason();
        let mut failure = unavailable
            .map(|reason| reason.to_string())
            .or_else(|| sources.store.commit_failure());
        let read = self.read_store(sources, interval, &mut snapshot, now);
        if let Err(fault) = read.await {
            failure.get_or_insert_with(|| error_chain(&fault));
        }
        snapshot.store_failure = Some(failure);
        snapshot
    }

    async fn read_store(
        &mut self,
        sources: &Sources,
        interval: Duration,
        snapshot: &mut Snapshot,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let catalog = &sources.catalog;
        let edges = catalog.edges().await?;
        let edges = edges.iter().map(|edge| edge_report(edge, now));
        snapshot.edges = Some(edges.collect());
        snapshot.key_encryption = Some(key_encryption(sources).await?);
        let certificates = &mut self.certificates;
        certificates.refresh(catalog, interval, now).await?;
        snapshot.certificates = Some(certificates.due(now).cloned().collect());
        self.orders.refresh(catalog, interval).await?;
        snapshot.failed_orders = Some(self.orders.failed());
        let selection = sources.outside.as_ref();
        let visitors = self.visitors.refresh(catalog, interval, selection);
        visitors.await?;
        snapshot.misled_visitors = Some(self.visitors.misled());
        self.renewals.refresh(catalog, interval, now).await?;
        snapshot.missed_renewals = Some(self.renewals.missed());
        Ok(())
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
    }
}

async fn key_encryption(sources: &Sources) -> Result<KeyEncryptionFacts, Fault> {
    let status = sources.key_encryption.status();
    let finished = reseal::finished_at(&**sources.catalog.store()).await?;
    let since = finished.filter(|(key, _)| status.keys.first() == Some(key));
    let is_stuck = status.resealing.state == ResealState::Stuck;
    let days = i64::from(sources.kek_max_age_days);
    Ok(KeyEncryptionFacts {
        active: status
            .keys
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
        since: since.map(|(_, at)| at),
        max_age_ms: (days > 0).then_some(days * DAY_MS),
        unopened: if is_stuck {
            status.resealing.unopened
        } else {
            0
        },
    })
}

fn unlinked_audits(audit: &AuditLinking) -> Option<BTreeMap<String, String>> {
    let linker = |why: &str| BTreeMap::from([("linker".to_owned(), why.to_owned())]);
    match audit {
        AuditLinking::Unknown => None,
        AuditLinking::Off(why) => Some(linker(why)),
        AuditLinking::Runs(tampered) if tampered.has_changed().is_err() => {
            Some(linker("the linker has stopped"))
        }
        AuditLinking::Runs(tampered) => {
            let tampered = tampered.borrow();
            let all = tampered.iter();
            let all = all.map(|(account, why)| (account.to_string(), (*why).to_owned()));
            Some(all.collect())
        }
    }
}

fn disk_use(data: &Path) -> Option<DiskUse> {
    let disk = rustix::fs::statvfs(data).ok()?;
    Some(DiskUse {
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
        total: disk.f_blocks.saturating_mul(disk.f_frsize),
    })
}
