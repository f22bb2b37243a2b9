//! The replacement of many certificates: how long it will take, and how far it is.

use std::{cmp::Reverse, collections::BinaryHeap};

use serde::{Deserialize, Serialize};

use super::{Scheduler, Task, TaskKey};
use crate::{Timestamp, managed_certificate::IssuedCertificate};

/// What a forecast supposes about the order driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throughput {
    /// Orders in progress at the same time; at least 1.
    pub parallel: usize,
    /// Milliseconds that an order takes, from its start to the issued certificate.
    pub order_ms: i64,
}

/// When the replacements of a batch would be issued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// By issuer, in the order of preference.
    pub issuers: Vec<IssuerShare>,
    /// When the last one would be issued.
    pub finished_at: Timestamp,
    /// Domains whose replacement would come after the deadline of their task.
    pub late: usize,
    /// Domains that would never start: no issuer takes them within [`HORIZON_MS`].
    pub never: usize,
}

/// What one issuer would issue of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IssuerShare {
    /// Domains.
    pub domains: usize,
    /// When the last of them would be issued.
    pub finished_at: Timestamp,
}

/// The longest future that is forecast, in milliseconds: a year.
pub const HORIZON_MS: i64 = 365 * super::DAY_MS;

/// A replacement of many certificates, as it is stored: a mark that says which certificates are to
/// be replaced. Which ones are left follows from the certificates themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reissue {
    /// Which certificates.
    pub scope: ReissueScope,
    /// An issuer that issues no replacement, by the name in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_from: Option<String>,
    /// When it was asked for. Certificates that were ordered later are not concerned.
    pub requested_at: Timestamp,
    /// When all are to be replaced.
    pub deadline: Timestamp,
    /// Certificates that it concerned at first.
    pub total: u64,
    /// Milliseconds during which it was stopped, before the present stop.
    pub stopped_ms: i64,
    /// Since when it has been stopped; `None` while it runs.
    pub stopped_at: Option<Timestamp>,
}

/// Which certificates are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReissueScope {
    /// All that were ordered.
    All,
    /// Those whose issuer asks for a renewal at once (RFC 9773 §4.2), as before a revocation.
    Revoked,
    /// Those of one issuer, by the name in the configuration.
    Issuer(String),
}

/// How far a replacement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Certificates that are replaced, or that nobody needs any more.
    pub done: u64,
    /// Hundredths that are done, rounded down.
    pub percent: u64,
    /// When it will be done at the pace so far; `None` while it is stopped, or before the first
    /// replacement.
    pub finished_at: Option<Timestamp>,
}

impl Reissue {
    /// A replacement that starts at `now`; [`total`](Self::total) is to be counted.
    #[must_use]
    pub const fn new(
        scope: ReissueScope,
        not_from: Option<String>,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        Self {
            scope,
            not_from,
            requested_at: now,
            deadline,
            total: 0,
            stopped_ms: 0,
            stopped_at: None,
        }
    }

    /// Whether a certificate is to be replaced.
    #[must_use]
    pub fn concerns(&self, issued: &IssuedCertificate) -> bool {
        issued.ordered_at < self.requested_at
            && match &self.scope {
                ReissueScope::All => true,
                ReissueScope::Issuer(name) => issued.issuer == *name,
                ReissueScope::Revoked => issued
                    .renewal_info
                    .is_some_and(|info| info.at_once_since.is_some()),
            }
    }

    /// Stops it: orders in progress end, no other starts.
    pub fn stop(&mut self, now: Timestamp) {
        self.stopped_at.get_or_insert(now);
    }

    /// Lets it go on.
    pub fn resume(&mut self, now: Timestamp) {
        if let Some(at) = self.stopped_at.take() {
            self.stopped_ms += now.since_ms(at).max(0);
        }
    }

    /// How far it is, if so many certificates are `left`.
    #[must_use]
    pub fn progress(&self, left: u64, now: Timestamp) -> Progress {
        let done = self.total.saturating_sub(left);
        let ran_ms = now.since_ms(self.requested_at) - self.stopped_ms;
        let needs_ms = i128::from(ran_ms.max(0)) * i128::from(left);
        let finished_at = match self.stopped_at {
            None if left == 0 => Some(now),
            None if done > 0 => {
                let needs_ms = needs_ms / i128::from(done);
                Some(now.plus_ms(i64::try_from(needs_ms).unwrap_or(i64::MAX)))
            }
            _ => None,
        };
        Progress {
            done,
            percent: if left == 0 {
                100
            } else {
                done * 100 / self.total.max(1)
            },
            finished_at,
        }
    }
}

/// What would become of `batch` if it was added to `scheduler` at `now`.
///
/// The scheduler runs in virtual time, with everything that it already holds, the limits, what was
/// used up of them, and the pauses that it has now. Nothing fails in a forecast.
#[must_use]
pub fn forecast(
    scheduler: &Scheduler,
    batch: impl IntoIterator<Item = (impl Into<TaskKey>, Task)>,
    throughput: Throughput,
    now: Timestamp,
) -> Forecast {
    let mut scheduler = scheduler.clone();
    let mut left = std::collections::BTreeSet::new();
    for (key, task) in batch {
        let key: TaskKey = key.into();
        scheduler.set(key.clone(), task);
        left.insert(key);
    }
    let mut forecast = Forecast {
        issuers: vec![IssuerShare::default(); scheduler.issuers().len()],
        finished_at: now,
        ..Forecast::default()
    };
    let end = now.plus_ms(HORIZON_MS);
    let mut time = now;
    let mut running = BinaryHeap::new();
    while !left.is_empty() && time < end {
        while running.len() < throughput.parallel.max(1)
            && let Some(start) = scheduler.next(time)
        {
            let ends_at = time.plus_ms(throughput.order_ms);
            running.push(Reverse(ends_at));
            if left.remove(&start.key()) {
                forecast.late += usize::from(ends_at > start.task.deadline());
                let share = &mut forecast.issuers[start.issuer];
                share.domains += 1;
                share.finished_at = ends_at;
                forecast.finished_at = forecast.finished_at.max(ends_at);
            }
        }
        let ends_at = running.peek().map(|Reverse(at)| *at);
        let is_full = running.len() >= throughput.parallel.max(1);
        let next = scheduler.next_at(time).filter(|_| !is_full);
        let Some(next) = ends_at.into_iter().chain(next).min() else {
            break;
        };
        // A step of at least a millisecond, so that virtual time always ends.
        time = next.max(time.plus_ms(1));
        while running.peek().is_some_and(|Reverse(at)| *at <= time) {
            running.pop();
        }
    }
    forecast.never = left.len();
    forecast
}
