//! How long a domain and its orders wait.

use edgeseal_core::{
    DomainPattern, Timestamp,
    acme::{RetryState, Seed},
    managed_certificate::{ManagedCertificate, Order},
};

use crate::error::OrderError;

/// How soon it is looked again whether a certificate may be changed that is locked: 10 minutes.
const LOCKED_MS: i64 = 10 * 60 * 1000;
/// The longest wait until a domain is checked again for which the authority was not asked, while
/// somebody waits for its certificate: 10 minutes. It costs the authority nothing.
const NOT_READY_MS: i64 = 10 * 60 * 1000;
/// How long after the request somebody waits.
const AWAITED_MS: i64 = 60 * 60 * 1000;
/// How long an authority may take to decide an order: a week, the longest life of an order at
/// public authorities.
pub(super) const ORDER_LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// The least time that an order has, whatever ends.
const ORDER_LIFE_MIN_MS: i64 = 60 * 60 * 1000;

/// Whether orders go on in spite of a failure: what was issued is bound as soon as it may be.
pub(super) fn is_kept_after(error: &OrderError, orders: &[Order]) -> bool {
    let may_be_bound_later = matches!(error, OrderError::Locked(_) | OrderError::OverQuota(_));
    may_be_bound_later && orders.iter().any(|order| order.finalizing)
}

/// When an order that failed is tried again.
pub(super) fn retry_state(
    error: &OrderError,
    managed: &ManagedCertificate,
    now: Timestamp,
) -> RetryState {
    if let OrderError::Locked(_) = error {
        return RetryState {
            next_attempt: now.plus_ms(LOCKED_MS),
            ..managed.backoff
        };
    }
    let retry_at = match error {
        OrderError::Paused { retry_at, .. } => *retry_at,
        _ => None,
    };
    let expires = managed.issued.as_ref().map(|issued| issued.not_after);
    let seed = Seed::of(&managed.domain.to_string());
    let mut state = managed.backoff.after_failure(expires, retry_at, seed, now);
    let is_awaited = now.since_ms(managed.requested.at) < AWAITED_MS;
    if is_awaited && matches!(error, OrderError::NotReady(_)) {
        state.next_attempt = state.next_attempt.min(now.plus_ms(NOT_READY_MS));
    }
    state
}

/// How long an order may stay undecided: where another issuer could take it, no longer than a quarter
/// of what is left of the certificate that it renews, but an hour in any case.
pub(super) fn order_life_ms(managed: &ManagedCertificate, has_others: bool, now: Timestamp) -> i64 {
    match &managed.issued {
        Some(issued) if has_others => {
            let left = issued.not_after.since_ms(now);
            (left / 4).clamp(ORDER_LIFE_MIN_MS, ORDER_LIFE_MS)
        }
        _ => ORDER_LIFE_MS,
    }
}

/// Whether a limit concerns one name, or one registrable domain, and no other domain. Let's Encrypt
/// says "already issued for this exact set of identifiers" of its limit for duplicates; its other
/// texts name the domain (<https://letsencrypt.org/docs/rate-limits/>).
pub(super) fn is_limit_of_name(reason: &str, domain: &DomainPattern) -> bool {
    reason.contains("exact set of") || reason.contains(domain.registrable_domain().as_str())
}

#[cfg(test)]
mod tests {
    use edgeseal_core::{
        AccountId,
        domain::Environment,
        managed_certificate::{IssuedCertificate, OrderRequest},
    };

    use super::*;

    #[test]
    fn an_undecided_order_leaves_time_for_another_issuer() {
        const HOUR_MS: i64 = 60 * 60 * 1000;
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let domain = DomainPattern::parse("www.example.com").unwrap();
        let requested = OrderRequest {
            at: now,
            access_key: String::new(),
            action: String::new(),
            request_id: String::new(),
        };
        for (left_h, has_others, hours) in [
            (80, true, 20),
            (80, false, 168),
            (2, true, 1),
            (-5, true, 1),
            (2000, true, 168),
        ] {
            let of = (domain.clone(), 1);
            let account = AccountId::from_random(1);
            let mut managed = ManagedCertificate::requested(
                of,
                account,
                Environment::Production,
                requested.clone(),
            );
            let validity = (now.plus_ms(-1), now.plus_ms(left_h * HOUR_MS));
            let ordered = (String::new(), now);
            managed.issued = Some(IssuedCertificate::new(
                ordered,
                (7, None),
                validity,
                &domain,
            ));
            let life = order_life_ms(&managed, has_others, now);
            assert_eq!(life, hours * HOUR_MS, "{left_h} {has_others}");
        }
    }
}
