//! What `/readyz` and `/metrics` say about alarms.

use std::{collections::BTreeMap, fmt::Write as _};

use edgeseal_core::{
    Timestamp,
    alarm::{Alarm, AlarmId, Code},
};

use super::certificates::{ExpiryCounts, ServedCertificates, WITHIN_DAYS};

/// Most certificates with a series of their own: the label is a domain, so they must be bounded.
const SERIES_MAX: usize = 100;
/// The metric with a series for a certificate.
pub(crate) const NOT_AFTER: &str = "edgeseal_certificate_not_after_timestamp_seconds";

/// What was known after the last evaluation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    counts: ExpiryCounts,
    /// The certificates that end first.
    nearest: Vec<(String, Timestamp)>,
    /// Domains whose renewal was missed.
    missed: u64,
}

impl Summary {
    pub(super) fn of(certificates: &ServedCertificates, missed: u64, now: Timestamp) -> Self {
        Self {
            counts: certificates.counts(now),
            nearest: certificates.nearest(SERIES_MAX),
            missed,
        }
    }

    /// What is wrong with served certificates, and with their renewals.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        let missed = (self.missed > 0).then(|| format!("renewals missed: {}", self.missed));
        self.expiry().into_iter().chain(missed)
    }

    fn expiry(&self) -> Option<String> {
        let ExpiryCounts { expired, expiring } = self.counts;
        if expired + expiring == 0 {
            return None;
        }
        let mut text = format!("certificates expired: {expired}, expiring: {expiring}");
        if let Some((domain, end)) = self.nearest.first() {
            let _ = write!(text, ", first {domain} at {end}");
        }
        Some(text)
    }

    /// The series of the certificates that end first, in Prometheus' text format. Not a gauge of
    /// the recorder: that would keep the series of a domain for ever.
    pub(crate) fn series(&self) -> String {
        let mut text = String::new();
        for (domain, end) in &self.nearest {
            let _ = writeln!(
                text,
                "{NOT_AFTER}{{domain=\"{domain}\"}} {}",
                end.unix_seconds()
            );
        }
        text
    }
}

/// Sets the gauges: how many alarms are raised, and how many certificates end within some days.
pub(super) fn set_gauges<'a>(
    alarms: impl Iterator<Item = (&'a AlarmId, &'a Alarm)>,
    certificates: &ServedCertificates,
) {
    let mut raised = BTreeMap::new();
    for code in Code::ALL {
        for severity in code.facts().severities {
            raised.insert((*code, *severity), 0_u32);
        }
    }
    for (id, alarm) in alarms.filter(|(_, alarm)| alarm.is_active()) {
        *raised.entry((id.code, alarm.severity)).or_default() += 1;
    }
    for ((code, severity), count) in raised {
        let labels = [("code", code.as_str()), ("severity", severity.as_str())];
        metrics::gauge!("edgeseal_alarms", &labels).set(f64::from(count));
    }
    for (count, (_, days)) in certificates.within().into_iter().zip(WITHIN_DAYS) {
        metrics::gauge!("edgeseal_certificates_expiring", "within_days" => days).set(count as f64);
    }
}
