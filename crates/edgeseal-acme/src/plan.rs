//! The next work for a managed certificate.

use edgeseal_core::{
    Timestamp,
    acme::{Task, queue::IssuedBy, reissue::Reissue},
    managed_certificate::ManagedCertificate,
};

use crate::issuer::Issuer;

/// What is next for a domain, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    /// An order to be begun, when the scheduler says so.
    pub(crate) task: Option<Task>,
    /// When to look at what is in progress, or to ask for renewal information.
    pub(crate) look: Option<Timestamp>,
}

/// The next work for a managed certificate, of which each order is `orders` at an issuer; `reissue`
/// is a replacement of many that runs and concerns it.
pub(crate) fn plan(
    managed: &ManagedCertificate,
    orders: u32,
    issuers: &[Issuer],
    reissue: Option<&Reissue>,
) -> Plan {
    if !managed.orders.is_empty() {
        return Plan {
            task: None,
            look: Some(managed.backoff.next_attempt),
        };
    }
    let Some(issued) = &managed.issued else {
        let task = Task::first(
            managed.requested.at,
            &managed.account,
            orders,
            managed.backoff,
        );
        return Plan {
            task: Some(task),
            look: None,
        };
    };
    let position = |wanted: &str| issuers.iter().position(|issuer| issuer.name() == wanted);
    // Another directory is another authority.
    let by = position(&issued.issuer)
        .filter(|position| issuers[*position].config.directory == issued.directory);
    let by = by.map(|issuer| IssuedBy {
        issuer,
        replaces: issued.renewal_id.is_some() && issued.renewal_info.is_some(),
    });
    let (validity, backoff) = (issued.validity(), managed.backoff);
    let not_from = |reissue: &Reissue| reissue.not_from.as_deref().map(position);
    let task = match reissue {
        // An issuer that is not configured any more, or by another name, cannot be excluded.
        Some(reissue) if not_from(reissue) != Some(None) => {
            let not_from = not_from(reissue).flatten();
            let (since, deadline) = (reissue.requested_at, reissue.deadline);
            Task::reissue(validity, since, deadline, by, orders, backoff).not_from(not_from)
        }
        _ => {
            let renewal = issued.renewal(&managed.domain);
            Task::renewal(validity, renewal, by, orders, backoff)
        }
    };
    Plan {
        task: Some(task),
        look: Some(issued.poll.next),
    }
}

impl Plan {
    /// As this, but what is in progress is not looked at before.
    pub(crate) fn waiting_for(self, until: &Option<Timestamp>) -> Self {
        Self {
            look: self.look.map(|look| look.max(until.unwrap_or(look))),
            ..self
        }
    }

    /// As this, but nothing happens before.
    pub(crate) fn not_before(self, until: Option<Timestamp>) -> Self {
        let Some(until) = until else { return self };
        Self {
            task: self.task.map(|mut task| {
                task.ready_at = task.ready_at.max(until);
                task
            }),
            look: self.look.map(|look| look.max(until)),
        }
    }
}
