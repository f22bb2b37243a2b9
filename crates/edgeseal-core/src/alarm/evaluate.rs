//! Which conditions hold in a snapshot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Alarm, AlarmId, Code, Condition, Rung, Severity, rung};
use crate::{AccountId, DomainPattern, Timestamp, domain::Environment};

const DAY_MS: i64 = 86_400_000;
const GIB: u64 = 1 << 30;
/// A disk must have so much more free than the threshold, in percent, before its alarm ends.
const DISK_MARGIN_PERCENT: u64 = 20;
/// How long a channel must have failed, in milliseconds.
pub const CHANNEL_FAILING_MS: i64 = 15 * 60_000;
/// Follows the domain in the subject of an alarm about staging edges.
pub const STAGING_SUFFIX: &str = "@staging";
/// Most edges that a text names.
const EDGES_NAMED_MAX: usize = 3;

/// What was observed. What could not be observed is `None`: its alarms stay as they are.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The certificates that are served and have reached a rung of the ladder; others do no harm.
    pub certificates: Option<Vec<ServedCertificate>>,
    /// Replacements of certificates that are due by their cadence and have not come.
    pub missed_renewals: Option<Vec<MissedRenewal>>,
    /// Orders that failed.
    pub failed_orders: Option<Vec<FailedOrder>>,
    /// Domains whose visitors find something wrong.
    pub misled_visitors: Option<Vec<MisledVisitors>>,
    /// The last reports of the edges.
    pub edges: Option<Vec<EdgeReport>>,
    /// The key-encryption keys.
    pub key_encryption: Option<KeyEncryptionFacts>,
    /// By code, how much holds without being listed here.
    pub left_out: Option<BTreeMap<Code, u64>>,
    /// Why audit records are not linked, by account or `linker`.
    pub unlinked_audits: Option<BTreeMap<String, String>>,
    /// Why the store is unavailable: `Some(None)` if it is available.
    pub store_failure: Option<Option<String>>,
    /// Since when channels have failed without a success, with the last cause.
    pub failing_channels: Option<BTreeMap<String, (Timestamp, String)>>,
}

/// A certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedCertificate {
    /// The domain.
    pub domain: DomainPattern,
    /// Its account.
    pub account: AccountId,
    /// The edges that serve it.
    pub environment: Environment,
    /// The earliest end in the served chain, of two certificates the earlier one.
    pub not_after: Timestamp,
    /// The end of the leaf of that chain.
    pub leaf_not_after: Timestamp,
    /// The validity of that leaf, in milliseconds.
    pub life_ms: i64,
}

/// A replacement that has not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedRenewal {
    /// The domain.
    pub domain: DomainPattern,
    /// Its account.
    pub account: AccountId,
    /// What was expected, and since when.
    pub text: String,
}

/// An order that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedOrder {
    /// The domain.
    pub domain: DomainPattern,
    /// Its account.
    pub account: AccountId,
    /// The edges that would serve the certificate.
    pub environment: Environment,
    /// Why.
    pub reason: String,
}

/// Visitors of a domain find something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MisledVisitors {
    /// The domain.
    pub domain: DomainPattern,
    /// What they find.
    pub text: String,
}

/// The report of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeReport {
    /// `GROUP/EDGE`.
    pub name: String,
    /// When it came.
    pub at: Timestamp,
    /// Whether it is too old.
    pub is_silent: bool,
    /// Domains in quarantine, with the reason.
    pub quarantined: Vec<(DomainPattern, String)>,
    /// Domains that are not proven, with the reason.
    pub unproven: Vec<(DomainPattern, String)>,
    /// How many more are in quarantine: a report names some only.
    pub quarantined_more: u64,
    /// How many more are not proven.
    pub unproven_more: u64,
    /// The disk of its data directory, if it could be asked.
    pub disk: Option<DiskUse>,
}

/// The key-encryption keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEncryptionFacts {
    /// The active key.
    pub active: String,
    /// Since when everything is sealed under it, if it is.
    pub since: Option<Timestamp>,
    /// The age from which it should be rotated; `None`: never.
    pub max_age_ms: Option<i64>,
    /// Records that cannot be opened; `None` until all were tried.
    pub unopened: Option<u64>,
}

/// The use of a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    /// What this process may still write.
    pub free: u64,
    /// The size.
    pub total: u64,
    /// How much should be free, a fifth of it at least; `None`: 10 %, at most 10 GiB, and 3 %, at
    /// most 2 GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u64>,
}

impl Snapshot {
    /// Whether an alarm of this code that is not found does not hold.
    #[must_use]
    pub fn observes(&self, code: Code) -> bool {
        // Of a report that names some domains only, the others may be among those left out.
        let names_all = |more: fn(&EdgeReport) -> u64| {
            let edges = self.edges.as_ref();
            edges.is_some_and(|edges| edges.iter().all(|edge| more(edge) == 0))
        };
        match code {
            Code::CertificateExpiring => self.certificates.is_some(),
            Code::RenewalMissed => self.missed_renewals.is_some(),
            Code::OrderFailed => self.failed_orders.is_some(),
            Code::VisitorsMisled => self.misled_visitors.is_some(),
            Code::DomainQuarantined => names_all(|edge| edge.quarantined_more),
            Code::DomainUnproven => names_all(|edge| edge.unproven_more),
            Code::EdgeSilent | Code::DiskNearlyFull => self.edges.is_some(),
            Code::KeyEncryptionKeyDue => self.key_encryption.is_some(),
            Code::KeyEncryptionKeyMissing => {
                let keys = self.key_encryption.as_ref();
                keys.is_some_and(|keys| keys.unopened.is_some())
            }
            Code::AlarmsLeftOut => self.left_out.is_some() && self.edges.is_some(),
            Code::AuditChainBroken => self.unlinked_audits.is_some(),
            Code::StoreUnavailable => self.store_failure.is_some(),
            Code::ChannelFailing => self.failing_channels.is_some(),
        }
    }
}

/// The conditions that hold. `before` are the alarms so far: some conditions end later than they
/// begin.
#[must_use]
pub fn evaluate(
    snapshot: &Snapshot,
    before: &BTreeMap<AlarmId, Alarm>,
    now: Timestamp,
) -> BTreeMap<AlarmId, Condition> {
    let mut found = BTreeMap::new();
    for certificate in snapshot.certificates.iter().flatten() {
        found.extend(certificate.condition(now));
    }
    for missed in snapshot.missed_renewals.iter().flatten() {
        let id = AlarmId::new(Code::RenewalMissed, missed.domain.to_string());
        let about = (&missed.account, &missed.domain);
        let text = missed.text.clone();
        found.insert(id, of_domain(Severity::Warning, text, about));
    }
    for failed in snapshot.failed_orders.iter().flatten() {
        // As urgent as the certificate that the order would replace.
        let (subject, _) = subject_at(&failed.domain, failed.environment);
        let expiring = AlarmId::new(Code::CertificateExpiring, subject.clone());
        let severity = match found.get(&expiring) {
            Some(expiring) if expiring.severity == Severity::Critical => Severity::Critical,
            _ => Severity::Warning,
        };
        let id = AlarmId::new(Code::OrderFailed, subject);
        let text = format!(
            "{}: no certificate is ordered: {}",
            failed.domain, failed.reason
        );
        let about = (&failed.account, &failed.domain);
        found.insert(id, of_domain(severity, text, about));
    }
    for misled in snapshot.misled_visitors.iter().flatten() {
        let id = AlarmId::new(Code::VisitorsMisled, misled.domain.to_string());
        let condition = Condition {
            domain: Some(misled.domain.clone()),
            ..of_operator(Severity::Warning, misled.text.clone())
        };
        found.insert(id, condition);
    }
    if let Some(edges) = &snapshot.edges {
        evaluate_edges(edges, &mut found);
        found.extend(edges.iter().filter_map(|edge| edge.full_disk(before)));
    }
    found.extend(snapshot.operator_conditions(now));
    for (code, count) in snapshot.all_left_out() {
        let text = format!("{count} more of {code} have no alarm of their own");
        let id = AlarmId::new(Code::AlarmsLeftOut, code.as_str());
        found.insert(id, of_operator(Severity::Warning, text));
    }
    found
}

impl ServedCertificate {
    fn condition(&self, now: Timestamp) -> Option<(AlarmId, Condition)> {
        let rung = rung(self.not_after, self.life_ms, now)?;
        let (subject, place) = subject_at(&self.domain, self.environment);
        let verb = if rung == Rung::Expired {
            "expired"
        } else {
            "expires"
        };
        let what = if self.not_after < self.leaf_not_after {
            "an intermediate of its certificate"
        } else {
            "its certificate"
        };
        let (domain, end) = (&self.domain, self.not_after);
        let text = format!("{domain}: {what}{place} {verb} at {end}");
        let condition = Condition {
            rung: rung as u8,
            ..of_domain(rung.severity(), text, (&self.account, &self.domain))
        };
        Some((AlarmId::new(Code::CertificateExpiring, subject), condition))
    }
}

/// The subject of an alarm about a domain, and where that is, for a text.
fn subject_at(domain: &DomainPattern, environment: Environment) -> (String, &'static str) {
    match environment {
        Environment::Production => (domain.to_string(), ""),
        Environment::Staging => (format!("{domain}{STAGING_SUFFIX}"), " on staging edges"),
    }
}

fn evaluate_edges(edges: &[EdgeReport], found: &mut BTreeMap<AlarmId, Condition>) {
    let mut domains: BTreeMap<(Code, &DomainPattern), Vec<String>> = BTreeMap::new();
    for edge in edges {
        if edge.is_silent {
            let text = format!("edge {} is silent since {}", edge.name, edge.at);
            let id = AlarmId::new(Code::EdgeSilent, edge.name.clone());
            found.insert(id, of_operator(Severity::Warning, text));
        }
        // What a silent edge reported last is not over because it is silent.
        let quarantined = edge
            .quarantined
            .iter()
            .map(|it| (Code::DomainQuarantined, it));
        let unproven = edge.unproven.iter().map(|it| (Code::DomainUnproven, it));
        for (code, (domain, reason)) in quarantined.chain(unproven) {
            let at = domains.entry((code, domain)).or_default();
            at.push(format!("edge {}: {reason}", edge.name));
        }
    }
    for ((code, domain), mut at) in domains {
        let more = at.len().saturating_sub(EDGES_NAMED_MAX);
        at.truncate(EDGES_NAMED_MAX);
        let mut text = format!("{domain}: {}", at.join("; "));
        if more > 0 {
            text.push_str(&format!("; and at {more} more edges"));
        }
        let (severity, text) = match code {
            Code::DomainQuarantined => (Severity::Critical, format!("in quarantine: {text}")),
            _ => (Severity::Warning, format!("not proven: {text}")),
        };
        let condition = Condition {
            domain: Some(domain.clone()),
            ..of_operator(severity, text)
        };
        found.insert(AlarmId::new(code, domain.to_string()), condition);
    }
}

impl Snapshot {
    /// What has no alarm of its own. Edges report the same domains, so the most counts.
    fn all_left_out(&self) -> BTreeMap<Code, u64> {
        let mut all = self.left_out.clone().unwrap_or_default();
        for edge in self.edges.iter().flatten() {
            for (code, more) in [
                (Code::DomainQuarantined, edge.quarantined_more),
                (Code::DomainUnproven, edge.unproven_more),
            ] {
                let count = all.entry(code).or_default();
                *count = (*count).max(more);
            }
        }
        all.retain(|_, count| *count > 0);
        all
    }

    fn operator_conditions(&self, now: Timestamp) -> Vec<(AlarmId, Condition)> {
        let mut found = Vec::new();
        let mut add = |code, subject: &str, severity, text| {
            found.push((AlarmId::new(code, subject), of_operator(severity, text)));
        };
        if let Some(keys) = &self.key_encryption {
            if keys.is_due(now) {
                let text = format!("key {} is due for rotation", keys.active);
                add(
                    Code::KeyEncryptionKeyDue,
                    &keys.active,
                    Severity::Warning,
                    text,
                );
            }
            if let Some(unopened) = keys.unopened.filter(|unopened| *unopened > 0) {
                let text = format!("{unopened} sealed records cannot be opened");
                let code = Code::KeyEncryptionKeyMissing;
                add(code, &keys.active, Severity::Critical, text);
            }
        }
        for (subject, why) in self.unlinked_audits.iter().flatten() {
            let text = format!("audit records are not linked: {why}");
            add(Code::AuditChainBroken, subject, Severity::Critical, text);
        }
        if let Some(Some(why)) = &self.store_failure {
            let text = format!("the store is unavailable: {why}");
            add(Code::StoreUnavailable, "store", Severity::Critical, text);
        }
        for (channel, (since, why)) in self.failing_channels.iter().flatten() {
            if now.since_ms(*since) >= CHANNEL_FAILING_MS {
                let text = format!("channel {channel} has failed since {since}: {why}");
                add(Code::ChannelFailing, channel, Severity::Warning, text);
            }
        }
        found
    }
}

impl EdgeReport {
    fn full_disk(&self, before: &BTreeMap<AlarmId, Alarm>) -> Option<(AlarmId, Condition)> {
        let id = AlarmId::new(Code::DiskNearlyFull, self.name.clone());
        let was = before.get(&id).map(|alarm| alarm.severity);
        let severity = self.disk?.severity(was)?;
        let text = format!(
            "edge {}: the disk of its data directory is nearly full",
            self.name
        );
        Some((id, of_operator(severity, text)))
    }
}

impl KeyEncryptionFacts {
    fn is_due(&self, now: Timestamp) -> bool {
        let (Some(since), Some(max_age_ms)) = (self.since, self.max_age_ms) else {
            return false;
        };
        now.since_ms(since) >= max_age_ms.max(DAY_MS)
    }
}

impl DiskUse {
    /// How urgent it is; `was` is the severity so far, which ends later than it begins.
    fn severity(self, was: Option<Severity>) -> Option<Severity> {
        let below = |wanted: Option<u64>, percent: u64, most: u64, severity| {
            let threshold = wanted.unwrap_or_else(|| (self.total / 100 * percent).min(most));
            let margin = match was {
                Some(was) if was >= severity => threshold / 100 * DISK_MARGIN_PERCENT,
                _ => 0,
            };
            (self.free < threshold + margin).then_some(severity)
        };
        let least = self.wanted.map(|wanted| wanted / 5);
        let critical = below(least, 3, 2 * GIB, Severity::Critical);
        critical.or_else(|| below(self.wanted, 10, 10 * GIB, Severity::Warning))
    }
}

const fn of_operator(severity: Severity, text: String) -> Condition {
    Condition {
        severity,
        rung: 0,
        text,
        account: None,
        domain: None,
    }
}

fn of_domain(
    severity: Severity,
    text: String,
    (account, domain): (&AccountId, &DomainPattern),
) -> Condition {
    Condition {
        account: Some(account.clone()),
        domain: Some(domain.clone()),
        ..of_operator(severity, text)
    }
}
