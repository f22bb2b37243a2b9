//! How much an issuer lets one account order.

use serde::{Deserialize, Serialize};

use super::{DAY_MS, HOUR_MS};
use crate::rate::RateLimit;

/// What an issuer documents about its rate limits. A limit that is `None` does not exist.
///
/// All are token buckets, as those of Let's Encrypt are: the whole amount may be used at once, and
/// comes back evenly over the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerLimits {
    /// New orders of the account.
    pub orders: Option<RateLimit>,
    /// New certificates below one registered domain.
    pub per_registered_domain: Option<RateLimit>,
    /// New certificates with exactly the same names.
    pub per_name_set: Option<RateLimit>,
    /// Failed authorizations of one name; further orders for it are refused.
    pub failures_per_name: Option<RateLimit>,
    /// Whether an order that replaces a certificate by renewal information (RFC 9773 §5) counts
    /// against none of the three limits of orders.
    pub exempts_replacements: bool,
    /// Whether another order with the names of a former certificate counts against
    /// [`IssuerLimits::per_name_set`] only.
    pub exempts_renewals: bool,
}

impl IssuerLimits {
    /// Let's Encrypt, <https://letsencrypt.org/docs/rate-limits/>.
    pub const LETS_ENCRYPT: Self = Self {
        orders: limit(300, 3 * HOUR_MS),
        per_registered_domain: limit(50, 7 * DAY_MS),
        per_name_set: limit(5, 7 * DAY_MS),
        failures_per_name: limit(5, HOUR_MS),
        exempts_replacements: true,
        exempts_renewals: true,
    };

    /// Let's Encrypt's staging environment,
    /// <https://letsencrypt.org/docs/staging-environment/#rate-limits>.
    pub const LETS_ENCRYPT_STAGING: Self = Self {
        orders: limit(1500, 3 * HOUR_MS),
        per_registered_domain: None, // 30,000 a second
        per_name_set: limit(30_000, 7 * DAY_MS),
        failures_per_name: limit(200, HOUR_MS),
        exempts_replacements: true,
        exempts_renewals: true,
    };

    /// An issuer that documents nothing: as many orders and failures as Let's Encrypt allows, and
    /// no exemption.
    ///
    /// It has no limit for registered domains and names. An authority inside a company issues for
    /// one registered domain only; 50 a week would let certificates expire that nobody limits. What
    /// an issuer refuses all the same, it says with `Retry-After`.
    pub const UNKNOWN: Self = Self {
        orders: limit(300, 3 * HOUR_MS),
        per_registered_domain: None,
        per_name_set: None,
        failures_per_name: limit(5, HOUR_MS),
        exempts_replacements: false,
        exempts_renewals: false,
    };

    /// The limits of the issuer whose directory is at `url`; [`IssuerLimits::UNKNOWN`] for one that
    /// is not known.
    #[must_use]
    pub fn of_directory(url: &str) -> Self {
        let rest = url.strip_prefix("https://").unwrap_or_default();
        match rest.split('/').next().unwrap_or_default() {
            "acme-v02.api.letsencrypt.org" => Self::LETS_ENCRYPT,
            "acme-staging-v02.api.letsencrypt.org" => Self::LETS_ENCRYPT_STAGING,
            _ => Self::UNKNOWN,
        }
    }

    /// Orders a day that the account can sustain; `None`: any number.
    #[must_use]
    pub fn orders_per_day(&self) -> Option<u64> {
        let limit = self.orders?;
        let per_ms = u64::from(limit.per_ms.max(1));
        Some(u64::from(limit.calls) * DAY_MS.unsigned_abs() / per_ms)
    }
}

const fn limit(calls: u32, per_ms: i64) -> Option<RateLimit> {
    // At most a week: 604,800,000 ms.
    Some(RateLimit {
        calls,
        per_ms: per_ms as u32,
    })
}
